"""What has to hold of a run, whatever was killed.

A refusal is an answer that says that nothing was submitted (`caller.REFUSALS`); any other failure
leaves it open, and is followed by another attempt with the same key. No acknowledgement comes after
a refusal: a submission of which every attempt was refused is nowhere, not by asking, not in a
delivery, not in the output stream; and one that has to be refused, as its key was used for another,
or its callback or pipeline is unknown, is refused each time that it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.support.submission_world import acknowledgement_rules, delivery_rules, result_rules
from tests.support.submission_world.evidence import Evidence
from tests.support.submission_world.history import History


@dataclass(frozen=True)
class Broken:
    """A rule that does not hold.

    Attributes:
        rule: its name.
        what: what breaks it.
    """

    rule: str
    what: str


def broken_rules(history: History, evidence: Evidence) -> list[Broken]:
    """Returns everything that breaks a rule; empty if the run was sound."""
    rules: dict[str, Iterable[str]] = {
        "lost": acknowledgement_rules.losses(history),
        "settled": acknowledgement_rules.unsettled(history),
        "one job": acknowledgement_rules.several_jobs(history),
        "refused": acknowledgement_rules.refused_and_there(history, evidence),
        "refusals": acknowledgement_rules.wrong_refusals(history),
        "pushed as polled": result_rules.pushed_otherwise(history),
        "published": result_rules.published_otherwise(history, evidence),
        "final": result_rules.changed_when_final(history),
        "result": result_rules.wrong_results(history),
        "delivered or dead": delivery_rules.neither_delivered_nor_dead(history, evidence),
        "one body": delivery_rules.several_bodies(history),
        "signed": delivery_rules.unsigned(history),
        "known": delivery_rules.unknown(history),
        "order": delivery_rules.out_of_order(history),
    }
    return _broken(rules)


def broken_rules_under_loss(
    history: History, evidence: Evidence, ends: Sequence[float], window_s: float
) -> list[Broken]:
    """Returns what breaks a rule where the ends of the queue's machine may lose something.

    The queue is then as it was some time ago: results are made anew, keys are forgotten. What is
    there settles, is delivered or dead; and of acknowledgements, only the latest are lost.

    Args:
        history: of the run.
        evidence: of the run.
        ends: when the queue's machine ended, by `time.monotonic`.
        window_s: what may be lost, in seconds.
    """
    return _broken(
        {
            "lost": acknowledgement_rules.losses_outside(history, ends, window_s),
            "settled": acknowledgement_rules.unsettled(history),
            "delivered or dead": delivery_rules.neither_delivered_nor_dead(history, evidence),
            "signed": delivery_rules.unsigned(history),
        }
    )


def _broken(rules: Mapping[str, Iterable[str]]) -> list[Broken]:
    return [Broken(name, what) for name, found in rules.items() for what in found]
