"""How much of a run is left."""

from __future__ import annotations

from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.progress.rates import Pace


def share_done(options: LoadOptions, pace: Pace) -> float:
    """Returns how much of a run is done, 0 to 1: of its time, or of its calls."""
    if options.duration > 0:
        return min(pace.seconds / options.duration, 1.0)
    shares = [pace.over / options.total if options.total else 1.0]
    if options.max_duration > 0:
        shares.append(pace.seconds / options.max_duration)
    return min(max(shares), 1.0)


def left(options: LoadOptions, pace: Pace) -> str:
    """Returns what is left in words: `25 s left`, or `1200 calls left, about 25 s`."""
    if options.duration > 0:
        seconds = options.duration - pace.seconds
        return f"{clock(seconds)} left" if seconds > 0 else "waiting for calls in flight"
    calls = max(options.total - pace.over, 0)
    seconds = calls / pace.mean_rate if pace.mean_rate > 0 else float("inf")
    if options.max_duration > 0:
        seconds = min(seconds, max(options.max_duration - pace.seconds, 0.0))
    told = f"{calls} calls left"
    return told if seconds == float("inf") else f"{told}, about {clock(seconds)}"


def lost(pace: Pace) -> str:
    """Returns how many processes are lost, in words."""
    return f"{pace.lost} load {'process' if pace.lost == 1 else 'processes'} lost"


def clock(seconds: float) -> str:
    """Returns a time to read at a glance: `8 s`, `2:05`, `1:02:05`."""
    whole = round(max(seconds, 0.0))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"
