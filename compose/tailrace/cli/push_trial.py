"""Tries a mesh with submissions whose results are pushed: to a webhook and to a gRPC receiver."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

from tailrace.cli.local.errors import LaunchError
from tailrace.cli.progress import Step
from tailrace.client import AsyncClient, CallbackSpec, Fields, PredictionError, StoredPrediction
from tailrace.client.receiver import GrpcReceiver, Handler, PushedPrediction, WebhookReceiver
from tailrace.webhooks.keys import Scheme, make_secret

_TIMEOUT_S = 30.0


class PushFailed(LaunchError):
    """A mesh does not push as it should.

    Attributes:
        kind: which receiver got nothing.
    """

    def __init__(self, kind: str, cause: object) -> None:
        self.kind = kind
        super().__init__(f"the {kind} receiver got no prediction: {cause}")


@dataclass(frozen=True, kw_only=True)
class PushTrial:
    """One submission whose result was pushed. All times are in milliseconds.

    Attributes:
        kind: of the receiver, `webhook` or `grpc`.
        stored: what was received.
        submit_ms: what the caller waited for its id, until the submission was durable.
        received_ms: from the caller's call until the receiver had the result.
        delivery_ms: of that, from the result until the receiver had it.
    """

    kind: str
    stored: StoredPrediction
    submit_ms: float
    received_ms: float
    delivery_ms: float


async def try_pushing(
    client: AsyncClient, pipeline: str, fields: Fields, step: Step
) -> Sequence[PushTrial]:
    """Returns what came of a submission pushed to a receiver of each kind, in this process.

    Args:
        client: of the mesh's gateway.
        pipeline: name of the pipeline.
        fields: what to ask.
        step: where to show how far it has come.

    Raises:
        PushFailed: a result was not pushed, or is no prediction.
    """
    secret, _ = make_secret(Scheme.HMAC_SHA256)
    kinds: dict[str, Callable[[Handler], AbstractAsyncContextManager[str]]] = {
        "webhook": lambda handler: WebhookReceiver(handler, [secret]).serving(),
        "grpc": lambda handler: GrpcReceiver(handler, [secret]).serving(),
    }
    trials = []
    for kind, serve in kinds.items():
        try:
            trials.append(await _try_one(client, kind, serve, secret, (pipeline, fields)))
        except TimeoutError as error:
            raise PushFailed(kind, f"none within {_TIMEOUT_S:g} s") from error
        except PredictionError as error:
            raise PushFailed(kind, error) from error
        step.tell(", ".join(f"{trial.kind} {trial.received_ms:.0f} ms" for trial in trials))
    return trials


async def _try_one(
    client: AsyncClient,
    kind: str,
    serve: Callable[[Handler], AbstractAsyncContextManager[str]],
    secret: str,
    request: tuple[str, Fields],
) -> PushTrial:
    received: asyncio.Future[tuple[PushedPrediction, float, datetime]] = asyncio.Future()

    async def handle(pushed: PushedPrediction) -> None:
        received.set_result((pushed, time.perf_counter(), datetime.now(UTC)))

    name = f"up-{kind}"
    async with serve(handle) as target:
        await client.callbacks.register(name, CallbackSpec(target=target), secret=secret)
        try:
            began = time.perf_counter()
            await client.submit(*request, callback=name)
            submitted = time.perf_counter()
            async with asyncio.timeout(_TIMEOUT_S):
                pushed, received_at, received_time = await received
        finally:
            await client.callbacks.delete(name)
    stored = pushed.prediction
    # One that failed raises here.
    stored.prediction  # noqa: B018
    ended = stored.ended_at or received_time
    return PushTrial(
        kind=kind,
        stored=stored,
        submit_ms=(submitted - began) * 1000,
        received_ms=(received_at - began) * 1000,
        delivery_ms=(received_time - ended).total_seconds() * 1000,
    )
