"""What is shown while a run goes on."""

import io
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TextIO

import numpy as np
import pytest

from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.progress.live import LINE_EVERY_S, Progress
from tailrace.loadtest.progress.rates import Pace, Rates
from tailrace.loadtest.progress.remaining import clock, left, share_done
from tests.support.terminal import Terminal

OPTIONS = LoadOptions(host="127.0.0.1:50050", call="a.B/C", total=1000)
PACE = Pace(
    seconds=10.0,
    over=400,
    failed=1,
    in_flight=7,
    rate=50.0,
    mean_rate=40.0,
    recent=(1_000_000, 2_000_000),
    overall=(3_000_000, 4_000_000),
)


def tally(over: int, *, failed: int = 0, in_flight: int = 0, latency_ms: float = 1.0) -> Tally:
    found = Tally(
        statuses={"OK": over - failed, "Unavailable": failed},
        started=over + in_flight,
        ended=over,
    )
    found.corrected.record(np.full(over - failed, int(latency_ms * 1e6)))
    return found


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with Terminal() as opened:
        yield opened


def test_rates_are_of_the_last_window_and_of_all() -> None:
    rates = Rates(1.0)
    growing = Tally()
    for step in range(1, 9):
        # A thousand calls a second, then only ten, which take longer.
        count, latency = (500, 2_000_000) if step <= 4 else (5, 80_000_000)
        growing.corrected.record(np.full(count, latency))
        growing.ended += count
        growing.started = growing.ended + 3
        pace = rates.add(growing, step / 2)
    assert pace.over == 2020
    assert pace.rate == 10.0
    assert pace.mean_rate == 505.0
    assert pace.in_flight == 3
    assert pace.recent is not None and pace.overall is not None
    assert pace.recent[0] == pytest.approx(80_000_000, rel=1e-3)
    assert pace.overall[0] == pytest.approx(2_000_000, rel=1e-3)


def test_nothing_lately_has_no_latencies() -> None:
    rates = Rates(1.0)
    for seconds in (1.0, 2.0, 3.0):
        pace = rates.add(tally(100), seconds)
    assert (pace.rate, pace.recent) == (0.0, None)
    assert pace.overall is not None
    assert Rates(1.0).add(Tally(), 0.5).overall is None


def test_skipped_calls_are_over() -> None:
    pace = Rates(1.0).add(Tally(started=20, ended=5, skipped=10), 1.0)
    assert (pace.over, pace.in_flight) == (15, 5)


@pytest.mark.parametrize(
    ("options", "share", "told"),
    [
        ({}, 0.4, "600 calls left, about 15 s"),
        ({"duration": 40.0}, 0.25, "30 s left"),
        ({"duration": 10.0}, 1.0, "waiting for calls in flight"),
        ({"max_duration": 12.5}, 0.8, "600 calls left, about 2 s"),
        ({"total": 400}, 1.0, "0 calls left, about 0 s"),
    ],
)
def test_what_is_left_is_of_time_or_of_calls(
    options: dict[str, float], share: float, told: str
) -> None:
    given = replace(OPTIONS, **options)  # type: ignore[arg-type]
    assert share_done(given, PACE) == pytest.approx(share)
    assert left(given, PACE) == told


def test_calls_without_a_rate_have_no_time() -> None:
    pace = replace(PACE, over=0, mean_rate=0.0)
    assert left(OPTIONS, pace) == "1000 calls left"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.4, "0 s"), (59, "59 s"), (125, "2:05"), (3725, "1:02:05"), (-1, "0 s")]
)
def test_clock_is_read_at_a_glance(seconds: float, told: str) -> None:
    assert clock(seconds) == told


def test_files_get_a_line_every_few_seconds() -> None:
    file = io.StringIO()
    with Progress(replace(OPTIONS, duration=60.0), file) as progress:
        for quarter in range(1, 49):
            progress(tally(100 * quarter, failed=quarter, in_flight=2, latency_ms=1.5), quarter / 4)
    lines = file.getvalue().split("\n")
    assert lines == [
        "5 s: 400 calls a second (mean 400), p50 1.50 ms (overall 1.50 ms),"
        " p99 1.50 ms (overall 1.50 ms), 20 errors, 2 in flight, 55 s left",
        "10 s: 400 calls a second (mean 400), p50 1.50 ms (overall 1.50 ms),"
        " p99 1.50 ms (overall 1.50 ms), 40 errors, 2 in flight, 50 s left",
        "",
    ]


def test_runs_shorter_than_that_write_nothing() -> None:
    file = io.StringIO()
    with Progress(OPTIONS, file) as progress:
        progress(tally(100), LINE_EVERY_S - 0.01)
    assert file.getvalue() == ""


def test_lines_without_latencies_say_so() -> None:
    file = io.StringIO()
    Progress(OPTIONS, file)(tally(1, failed=1), LINE_EVERY_S)
    assert "p50 - (overall -), p99 - (overall -), 1 error, 0 in flight" in file.getvalue()


def test_off_writes_nothing(terminal: Terminal) -> None:
    with Progress(replace(OPTIONS, progress="off"), terminal.file) as progress:
        progress(tally(100), 10.0)
    assert terminal.screen() == []


def test_plain_writes_lines_to_terminals_too(terminal: Terminal) -> None:
    with Progress(replace(OPTIONS, progress="plain"), terminal.file) as progress:
        progress(tally(100), 10.0)
    assert terminal.screen()[0].startswith("10 s: 10 calls a second")


def test_terminals_show_a_view_that_changes_in_place(terminal: Terminal) -> None:
    progress = Progress(replace(OPTIONS, duration=20.0), terminal.file)
    for quarter in range(1, 41):
        progress(tally(100 * quarter, failed=quarter, in_flight=2, latency_ms=1.5), quarter / 4)
    shown = terminal.screen()
    assert shown[0] == "a.B/C at 127.0.0.1:50050"
    assert [line.split() for line in shown[1:]] == [
        [shown[1].split()[0], "50%", "10", "s", "gone,", "10", "s", "left"],
        ["now", "overall"],
        ["calls", "a", "second", "400.0", "400.0"],
        ["p50", "1.50", "ms", "1.50", "ms"],
        ["p99", "1.50", "ms", "1.50", "ms"],
        ["errors", "40"],
        ["in", "flight", "2"],
    ]
    progress.close()


def test_view_is_gone_when_closed(terminal: Terminal) -> None:
    print("before", file=terminal.file, flush=True)
    progress = Progress(OPTIONS, terminal.file)
    for quarter in range(1, 5):
        progress(tally(10 * quarter), quarter / 4)
    assert len(terminal.screen()) == 9
    progress.close()
    progress.close()
    print("after", file=terminal.file, flush=True)
    assert terminal.screen() == ["before", "after"]
    assert terminal.cursor_shown and not terminal.styled


def test_view_is_gone_after_errors(terminal: Terminal) -> None:
    with pytest.raises(RuntimeError), Progress(OPTIONS, terminal.file) as progress:
        progress(tally(10), 1.0)
        raise RuntimeError
    assert terminal.screen() == []
    assert terminal.cursor_shown


def test_view_leaves_the_cursor_to_processes_that_are_killed(terminal: Terminal) -> None:
    progress = Progress(OPTIONS, terminal.file)
    progress(tally(10), 1.0)
    assert terminal.screen() != []
    assert terminal.cursor_shown
    progress.close()


def test_views_are_few_a_second(terminal: Terminal) -> None:
    progress = Progress(OPTIONS, terminal.file)
    for hundredth in range(1, 201):
        progress(tally(hundredth), hundredth / 100)
    progress.close()
    assert terminal.screen() == []
    # Four in each of two seconds, and the last one once more, before it is taken off.
    assert terminal.received.count(b"a.B/C at") <= 9


def test_terminals_without_a_cursor_get_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with Progress(OPTIONS, terminal.file) as progress:
        progress(tally(100), 10.0)
    assert terminal.screen()[0].startswith("10 s: 10 calls a second")


def test_reader_that_goes_away_ends_the_view_and_not_the_run(terminal: Terminal) -> None:
    class Gone(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            raise BrokenPipeError

    gone: TextIO = Gone()
    progress = Progress(OPTIONS, gone)
    progress(tally(10), 5.0)
    progress(tally(20), 10.0)
    progress.close()
    assert isinstance(gone, Gone) and gone.writes == 1


def test_a_full_disk_ends_no_run() -> None:
    with open("/dev/full", "w", encoding="utf-8", buffering=1) as full:
        progress = Progress(OPTIONS, full)
        progress(tally(10), 5.0)
        progress.close()
        # What could not be written would be tried again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
