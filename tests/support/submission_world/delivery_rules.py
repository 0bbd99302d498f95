"""Rules about what arrived at the receiver."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tailrace.v1 import prediction_service_pb2 as messages
from tests.support.submission_world.evidence import Evidence
from tests.support.submission_world.history import History, Submission
from tests.support.submission_world.journal import Delivery
from tests.support.submission_world.receiver import GRPC


def neither_delivered_nor_dead(history: History, evidence: Evidence) -> Iterator[str]:
    """What was acknowledged is delivered or a dead letter; `DELIVERED` is true."""
    confirmed = {one.prediction_id for one in history.deliveries if one.confirmed}
    arrived = {one.prediction_id for one in history.deliveries}
    for submission in history.acknowledged:
        prediction_id, poll = submission.prediction_id, submission.last_poll
        if poll is None or not poll.is_settled:
            continue
        dead = evidence.dead_letters.get(prediction_id)
        if poll.delivery_state == messages.DELIVERY_STATE_DELIVERED:
            if prediction_id not in confirmed:
                yield f"{prediction_id} is said to be delivered, and the receiver took none"
        elif poll.delivery_state == messages.DELIVERY_STATE_DEAD:
            if dead is None or dead != poll.dead_reason:
                yield f"{prediction_id} is dead ({poll.dead_reason}), its dead letter is {dead}"
        elif submission.is_pushed:
            yield f"{prediction_id} was to be delivered and is in state {poll.delivery_state}"
        elif prediction_id in arrived:
            yield f"{prediction_id} was delivered and names no callback"


def several_bodies(history: History) -> Iterator[str]:
    """Every delivery of an id has the same body."""
    digests: dict[str, set[str]] = defaultdict(set)
    for delivery in history.deliveries:
        digests[delivery.prediction_id].add(delivery.digest)
        if delivery.body and hashlib.sha256(delivery.body).hexdigest() != delivery.digest:
            yield f"{delivery.prediction_id} has a body that the journal has not"
    for prediction_id, found in digests.items():
        if len(found) > 1:
            yield f"{prediction_id} was delivered with {len(found)} bodies"


def unsigned(history: History) -> Iterator[str]:
    """Every delivery is signed."""
    for delivery in history.deliveries:
        if not delivery.verified:
            yield f"{delivery.prediction_id} came to {delivery.via} with a bad signature"


def unknown(history: History) -> Iterator[str]:
    """What arrives was acknowledged, or its caller never learned what became of it."""
    open_ones = {one.request_id for one in history.submissions if one.is_unknown}
    arrived = {one.prediction_id: one for one in history.deliveries if one.body}
    for prediction_id in arrived.keys() - history.by_id.keys():
        request_id = _request_id(arrived[prediction_id])
        if request_id not in open_ones:
            yield f"{prediction_id} was delivered for {request_id}, and never acknowledged"


def out_of_order(history: History) -> Iterator[str]:
    """What has one ordering key arrives in order, each after the one before was taken or given up.

    Of one that is repeated, the first arrival counts.
    """
    lanes: dict[str, list[Submission]] = defaultdict(list)
    for submission in history.acknowledged:
        if submission.place:
            lanes[submission.message.ordering_key].append(submission)
    first: dict[str, int] = {}
    taken: dict[str, int] = {}
    for position, delivery in enumerate(history.deliveries):
        first.setdefault(delivery.prediction_id, position)
        if delivery.confirmed:
            taken.setdefault(delivery.prediction_id, position)
    for key, lane in lanes.items():
        lane.sort(key=lambda one: one.place)
        yield from _lane_faults(key, [one.prediction_id for one in lane], first, taken)


def delivery_counts(history: History) -> Counter[str]:
    """Returns how many deliveries there were, and how many a receiver drops as duplicates."""
    arrived = {one.prediction_id for one in history.deliveries}
    confirmed = [one.prediction_id for one in history.deliveries if one.confirmed]
    return Counter(
        deliveries=len(history.deliveries),
        redeliveries=len(history.deliveries) - len(arrived),
        duplicates_dropped=len(confirmed) - len(set(confirmed)),
    )


def _lane_faults(
    key: str, lane: Sequence[str], first: Mapping[str, int], taken: Mapping[str, int]
) -> Iterator[str]:
    arrived = [one for one in lane if one in first]
    for before, after in zip(arrived, arrived[1:], strict=False):
        if first[before] > first[after]:
            yield f"{key}: {after} came before {before}"
        elif before in taken and taken[before] > first[after]:
            yield f"{key}: {after} came before {before} was taken"


def _request_id(delivery: Delivery) -> str:
    if delivery.via == GRPC:
        return messages.PredictionRecord.FromString(delivery.body).request_id
    request_id: str = json.loads(delivery.body)["data"]["requestId"]
    return request_id
