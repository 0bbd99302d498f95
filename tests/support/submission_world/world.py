"""All processes that submissions pass through, each of which can be killed and started again."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.cli.local.process import ChildProcess
from tailrace.webhooks.keys import Scheme, make_secret
from tests.support.running_mesh import metric_at
from tests.support.submission_world.pipeline_files import write_files
from tests.support.submission_world.queue_redis import QueueRedis
from tests.support.submission_world.receiver import GRPC
from tests.support.submission_world.receiver_process import ReceiverProcess
from tests.support.submission_world.temper import TemperSettings

PARTITIONS = 4
LEASE_MS = 1_500
RETRY_S = (0.2, 0.3, 0.5, 0.5, 1.0, 1.0, 1.0, 2.0, 2.0)
_MODULES = {"courier": "tests.support.submission_world.short_leases"}

Role = Literal["gateway", "dispatcher", "courier", "hop", "redis", "receiver"]
ROLES: tuple[Role, ...] = ("gateway", "dispatcher", "courier", "hop", "redis", "receiver")


class Killable(Protocol):
    """A process of the world."""

    @property
    def process(self) -> ChildProcess:
        """The process underneath."""

    def launch(self) -> None:
        """Starts it and returns at once."""

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Returns once it listens."""

    def kill(self) -> None:
        """Ends it with SIGKILL."""


@dataclass(frozen=True, kw_only=True)
class WorldSettings:
    """What differs between worlds.

    Attributes:
        durability: what the queue wants to be on disk, and what its Redis does.
        dispatchers, couriers: how many there are of each.
        notes_syncs: whether the queue's Redis can be ended as by the end of its machine.
        temper: how the receiver treats what it is sent.
        settings: more settings of all services, as environment variables.
        modules: what is run in place of `tailrace.cli`, by service.
    """

    durability: Literal["always", "everysec"] = "always"
    dispatchers: int = 1
    couriers: int = 1
    notes_syncs: bool = False
    temper: TemperSettings = TemperSettings()
    settings: Mapping[str, str] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CallbackPlan:
    """A callback that is registered before anything is submitted.

    Attributes:
        name: of the callback.
        via: which endpoint of the receiver it goes to.
        secret: what it signs with.
        scheme: how.
        ordered: whether results with one ordering key keep their order.
        max_batch: most deliveries of one message.
    """

    name: str
    via: str
    secret: str
    scheme: Scheme
    ordered: bool = False
    max_batch: int = 1


class SubmissionWorld:
    """The processes.

    Attributes:
        processes: by name; Redis is `redis`.
        redis: the queue's Redis.
        receiver: the receiver.
        callbacks: what is to be registered.
    """

    def __init__(self, run_dir: Path, seed: int, settings: WorldSettings) -> None:
        """Describes them; `start` starts them.

        Args:
            run_dir: for all that they write.
            seed: of the receiver's temper.
            settings: what differs.
        """
        write_files(run_dir)
        self._run_dir = run_dir
        self._settings = settings
        # No view is looked up in it, yet a features hop waits until it is there.
        self._features = LocalRedis(log_path=run_dir / "features-redis.log", name="features-redis")
        self.redis = QueueRedis(run_dir, settings.durability, notes_syncs=settings.notes_syncs)
        grpc_secret, _ = make_secret(Scheme.HMAC_SHA256)
        hook_secret, _ = make_secret(Scheme.HMAC_SHA256)
        lane_secret, lane_public = make_secret(Scheme.ED25519)
        self.callbacks = (
            CallbackPlan(
                name="many", via=GRPC, secret=grpc_secret, scheme=Scheme.HMAC_SHA256, max_batch=64
            ),
            CallbackPlan(name="one", via=GRPC, secret=grpc_secret, scheme=Scheme.HMAC_SHA256),
            CallbackPlan(name="hook", via="/hook", secret=hook_secret, scheme=Scheme.HMAC_SHA256),
            CallbackPlan(
                name="lane", via="/lane", secret=lane_secret, scheme=Scheme.ED25519, ordered=True
            ),
        )
        keys = {GRPC: [grpc_secret], "/hook": [hook_secret], "/lane": [lane_public]}
        self.receiver = ReceiverProcess(run_dir, keys, seed, settings.temper)
        self.processes: dict[str, Killable] = {"redis": self.redis, "receiver": self.receiver}

    @property
    def gateway(self) -> MeshProcess:
        """The gateway."""
        gateway = self.processes["gateway"]
        assert isinstance(gateway, MeshProcess)
        return gateway

    def names(self, role: Role) -> Sequence[str]:
        """Returns the names of the processes that have a role."""
        if role == "hop":
            return ["inference"]
        return [name for name in self.processes if name.partition("-")[0] == role]

    def start(self) -> None:
        """Starts everything and returns once all of it listens."""
        self._features.start()
        self._launch("redis", "receiver")
        self._add("inference")
        self._launch("inference")
        self._add("gateway")
        names = ["gateway"]
        for service, count in (
            ("dispatcher", self._settings.dispatchers),
            ("courier", self._settings.couriers),
        ):
            names += [self._add(service, number) for number in range(1, count + 1)]
        self._launch(*names)

    def target_of(self, plan: CallbackPlan) -> str:
        """Returns where a callback goes."""
        if plan.via == GRPC:
            return f"grpc://127.0.0.1:{self.receiver.grpc_port}"
        return f"http://127.0.0.1:{self.receiver.http_port}{plan.via}"

    def pause(self, name: str) -> None:
        """Stops a process, as a long pause of its machine would, until `resume`."""
        self.processes[name].process.signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Lets it go on."""
        self.processes[name].process.signal(signal.SIGCONT)

    def metric(self, name: str, metric: str) -> float:
        """Returns a metric of one of the mesh's processes, summed over its labels."""
        process = self.processes[name]
        assert isinstance(process, MeshProcess)
        return metric_at(process.metrics_port, metric)

    def end(self) -> None:
        """Ends all processes, at once."""
        for process in self.processes.values():
            process.kill()
        self.redis.server.stop()
        self._features.stop()

    def _launch(self, *names: str) -> None:
        for name in names:
            self.processes[name].launch()
        for name in names:
            self.processes[name].wait_ready()

    def _add(self, service: str, number: int = 1) -> str:
        name = service if number == 1 else f"{service}-{number}"
        self.processes[name] = MeshProcess(
            service,
            run_dir=self._run_dir,
            settings=self._environment(),
            name=name,
            module=(_MODULES | self._settings.modules).get(service, "tailrace.cli"),
        )
        return name

    def _environment(self) -> dict[str, str]:
        environment = {
            "PIPELINES_DIR": str(self._run_dir / "pipelines"),
            "FEATURE_REDIS_URL": self._features.url,
            "PLACEMENT": "ingest=local,features=local,postprocess=local",
            "INFERENCE_BACKEND": "onnxruntime",
            "MODEL_REPOSITORY": str(self._run_dir / "models"),
            "MODEL_POLL_MS": "100",
            "QUEUE_REDIS_URL": self.redis.server.url,
            "QUEUE_PARTITIONS": str(PARTITIONS),
            "QUEUE_DURABILITY": self._settings.durability,
            "OUTPUT_STREAM_MAX": "10000000",
            "DISPATCHER_LEASE_MS": str(LEASE_MS),
            "DISPATCHER_MAX_ROWS": "64",
            "CALLBACK_ALLOWED_NETWORKS": json.dumps(["127.0.0.0/8"]),
            "CALLBACK_ALLOW_PLAINTEXT": "true",
            "COURIER_RETRY_S": json.dumps(RETRY_S),
            "COURIER_ATTEMPT_TIMEOUT_MS": "1000",
            "COURIER_BREAKER_OPEN_MS": "300",
        }
        if "inference" in self.processes:
            inference = self.processes["inference"]
            assert isinstance(inference, MeshProcess)
            environment["INFERENCE_TARGET"] = inference.target
        named = {f"TAILRACE_{name}": value for name, value in environment.items()}
        return named | dict(self._settings.settings)
