"""What a generator is told to do, and what it tells of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

AnswerKind: TypeAlias = Literal["triton", "chain", "mesh", "mesh_batch", "mesh_stream", "submitted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One way to call one contender.

    Attributes:
        target: gRPC target.
        method: full name of the method.
        messages_file: JSON with serialised requests (base64) and the scores expected for each.
        answers: how to read an answer's scores.
        rows: requests of one message.
        placement: where every hop has to have run, as in `tailrace.v1.Placement`; 0 where there
            are no hops.
        calibration: a and b of the calibration of raw scores, or none if they are calibrated.
    """

    target: str
    method: str
    messages_file: str
    answers: AnswerKind
    rows: int = 1
    placement: int = 0
    calibration: tuple[float, float] | None = None

    @property
    def streams(self) -> bool:
        """Whether messages travel on streams."""
        return self.answers == "mesh_stream"

    @property
    def submits(self) -> bool:
        """Whether messages are submissions, whose answers are ids."""
        return self.answers == "submitted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One piece of work.

    Attributes:
        work: `scores` asks for every message once and returns their scores; `closed` keeps
            `in_flight` messages in flight; `open` sends at `rate`.
        endpoint: whom to call.
        in_flight: messages in flight, of all connections together.
        connections: most connections to use.
        rate: messages per second.
        starts_at: when to begin, in seconds of the monotonic clock, which processes share.
        ramp_s: how long to run before what is measured.
        seconds: how long to measure.
        first: place of the first message to send.
        messages: how many messages `scores` sends.
        feed: of submissions, the socket that tells how many results were delivered; empty where
            nobody is to wait for them.
        outstanding: of submissions in a closed loop, most rows without a delivered result; 0 means
            any number.
        rows: of submissions in a closed loop, how many to submit instead of for how long; 0 means
            until the time is over.
    """

    work: Literal["scores", "closed", "open"]
    endpoint: Endpoint
    in_flight: int = 1
    connections: int = 1
    rate: float = 0.0
    starts_at: float = 0.0
    ramp_s: float = 0.0
    seconds: float = 0.0
    first: int = 0
    messages: int = 0
    feed: str = ""
    outstanding: int = 0
    rows: int = 0

    def to_line(self) -> str:
        """Returns the order as one line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Order:
        """Returns the order that a line holds."""
        content: dict[str, Any] = json.loads(line)
        endpoint = content.pop("endpoint")
        if endpoint["calibration"]:
            endpoint["calibration"] = tuple(endpoint["calibration"])
        return cls(endpoint=Endpoint(**endpoint), **content)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of an order.

    Attributes:
        answered: rows answered, from the first to the last.
        counted: rows answered within the measured time.
        latencies_us: of messages whose measured time was the order's; whole microseconds.
        failed: rows without an answer, by status.
        checked: rows whose score was compared with the one expected.
        wrong: rows whose score was another, in an answer that does not call itself degraded.
        degraded: rows whose score was another, in one that does.
        convoy_rows: requests in the convoy of each row checked, of contenders that form convoys.
        scores: what `scores` asked for, row by row.
        delivered: results of submissions delivered within the measured time.
        digests: of the ids of all submissions acknowledged, as `digest_text` writes them.
    """

    answered: int = 0
    counted: int = 0
    latencies_us: list[int] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)
    checked: int = 0
    wrong: int = 0
    degraded: int = 0
    convoy_rows: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    delivered: int = 0
    digests: str = ""

    def to_line(self) -> str:
        """Returns the outcome as one line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Outcome:
        """Returns the outcome that a line holds."""
        return cls(**json.loads(line))

    def add(self, other: Outcome) -> None:
        """Takes in what another generator did at the same time."""
        self.answered += other.answered
        self.counted += other.counted
        self.latencies_us += other.latencies_us
        for status, rows in other.failed.items():
            self.failed[status] = self.failed.get(status, 0) + rows
        self.checked += other.checked
        self.wrong += other.wrong
        self.degraded += other.degraded
        self.convoy_rows += other.convoy_rows
        self.scores += other.scores
        self.delivered += other.delivered
        # Of one process, as only one submits.
        self.digests += other.digests
