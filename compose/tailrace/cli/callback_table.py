"""Callbacks, attempts and dead letters for people to read."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from tailrace.cli.columns import print_columns
from tailrace.cli.submission_table import delivery_text, instant_text
from tailrace.client import (
    Callback,
    DeadLetter,
    DeliveryAttempt,
    DeliveryHistory,
    RegisteredCallback,
)


def print_callbacks(console: Console, callbacks: Sequence[Callback]) -> None:
    """Prints a line per callback."""
    heading = ("callback", "tenant", "target", "state", "signed", "secrets", "settings")
    rows = [heading]
    for each in callbacks:
        state = "enabled" if each.enabled else f"disabled ({each.disabled_reason})"
        secrets = str(each.secret_count)
        if each.retires_at is not None:
            secrets += f", the next until {instant_text(each.retires_at)}"
        signed = each.spec.scheme.name.partition("_")[0].lower()
        rows.append(
            (each.name, each.tenant, each.spec.target, state, signed, secrets, _settings(each))
        )
    _print(console, rows)


def print_registered(console: Console, registered: RegisteredCallback) -> None:
    """Prints a callback, and what its receiver needs."""
    print_callbacks(console, [registered.callback])
    if registered.callback.public_key:
        line = f"\nits receiver verifies with {registered.callback.public_key}"
        console.print(line, soft_wrap=True, markup=False)
    if registered.secret:
        console.print(
            f"\nits secret, shown this once: {registered.secret}", soft_wrap=True, markup=False
        )


def print_history(console: Console, history: DeliveryHistory) -> None:
    """Prints how a delivery stands, and a line per attempt."""
    standing = delivery_text(history.delivery)
    console.print(standing or "no callback", soft_wrap=True, markup=False)
    if standing:
        print_attempts(console, history.attempts)


def print_attempts(console: Console, attempts: Sequence[DeliveryAttempt]) -> None:
    """Prints a line per attempt."""
    rows = [("attempt", "began", "took ms", "delivered", "result")]
    rows += [
        (
            str(each.attempt),
            instant_text(each.started_at),
            f"{each.duration_ms:.0f}",
            "yes" if each.delivered else "no",
            each.result,
        )
        for each in attempts
    ]
    _print(console, rows)


def print_dead_letters(console: Console, letters: Sequence[DeadLetter]) -> None:
    """Prints a line per dead letter."""
    rows = [("id", "reason", "since", "state", "pipeline", "tenant", "callback", "attempts")]
    for each in letters:
        stored, delivery = each.prediction, each.prediction.delivery
        rows.append(
            (
                stored.id,
                each.reason,
                instant_text(each.died_at),
                stored.state.name,
                stored.pipeline,
                stored.tenant,
                delivery.callback if delivery else "",
                str(delivery.attempts if delivery else stored.run_attempts),
            )
        )
    _print(console, rows)


def _settings(callback: Callback) -> str:
    spec = callback.spec
    told = []
    if spec.attempt_timeout_s is not None:
        told.append(f"timeout {spec.attempt_timeout_s:g} s")
    if spec.max_in_flight:
        told.append(f"{spec.max_in_flight} in flight")
    if spec.max_batch > 1:
        told.append(f"{spec.max_batch} a message")
    if spec.ordered:
        told.append("ordered")
    return ", ".join(told)


def _print(console: Console, rows: Sequence[Sequence[str]]) -> None:
    if len(rows) > 1:
        print_columns(console, rows)
    else:
        console.print("none", style="dim")
