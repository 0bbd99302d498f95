"""Where the result of a submission goes: chosen by its caller, checked before it is taken."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tailrace.runtime.errors import (
    FailedPrecondition,
    InvalidField,
    NotFound,
    PermissionDenied,
    Reason,
)
from tailrace.submissions.callback_record import CallbackRecord
from tailrace.submissions.push.target_rules import TargetRules
from tailrace.submissions.records import CallbackChoice
from tailrace.v1.prediction_service_pb2 import InlineCallback, Submission
from tailrace.webhooks.errors import MalformedKey
from tailrace.webhooks.keys import check_secret


def callback_keys(submissions: Iterable[Submission]) -> set[str]:
    """Returns the keys of the registered callbacks that submissions name."""
    return {
        f"{submission.request.tenant}/{submission.callback}"
        for submission in submissions
        if submission.WhichOneof("callback_choice") == "callback"
    }


@dataclass(frozen=True, slots=True)
class CallbackRules:
    """What submissions may choose.

    Attributes:
        allow_inline: whether they may name targets that are not registered.
        targets: which ones may be called.
    """

    allow_inline: bool
    targets: TargetRules

    def choose(
        self, submission: Submission, known: Mapping[str, CallbackRecord]
    ) -> CallbackChoice | None:
        """Returns where a result goes, or None where it is not pushed.

        Args:
            submission: as received.
            known: the registered callbacks that are named, by key.

        Raises:
            NotFound: the tenant has no such callback.
            FailedPrecondition: it is disabled.
            PermissionDenied: inline ones, or such a target, are not allowed.
            InvalidField: an inline one cannot be called.
        """
        match submission.WhichOneof("callback_choice"):
            case "callback":
                return _registered(submission, known)
            case "inline_callback":
                if not self.allow_inline:
                    raise PermissionDenied(
                        "callbacks that are not registered are not allowed here",
                        field="inline_callback",
                    )
                return _inline(submission.inline_callback, self.targets)
            case _:
                return None


def _registered(submission: Submission, known: Mapping[str, CallbackRecord]) -> CallbackChoice:
    name = submission.callback
    record = known.get(f"{submission.request.tenant}/{name}")
    # With a slash in the name, the key would be that of another tenant's callback.
    if record is None or record.name != name:
        raise NotFound(
            f"the tenant has no callback {name[:64]!r}",
            field="callback",
            reason=Reason.CALLBACK_NOT_FOUND,
        )
    if not record.enabled:
        raise FailedPrecondition(
            f"the callback is disabled: {record.disabled_reason}",
            field="callback",
            reason=Reason.CALLBACK_DISABLED,
        )
    return CallbackChoice(key=record.key, ordered=record.ordered and bool(submission.ordering_key))


def _inline(inline: InlineCallback, targets: TargetRules) -> CallbackChoice:
    targets.read(inline.target, "inline_callback.target")
    try:
        check_secret(inline.secret)
    except MalformedKey as error:
        raise InvalidField(str(error), field="inline_callback.secret") from error
    # A target has no spaces, so that nothing else makes the same text.
    digest = hashlib.sha256(f"{inline.target} {inline.secret}".encode()).hexdigest()
    return CallbackChoice(
        key=f"~{digest[:32]}", inline=inline.SerializeToString(deterministic=True)
    )
