"""What somebody may have meant who wrote a name that does not exist."""

from __future__ import annotations

from difflib import get_close_matches

from tailrace.loadtest.options.flags import BY_NAME, BY_SHORT

# What ghz's reports, its older versions, and other generators call them.
_OTHER_NAMES = {
    "dial-timeout": "connect-timeout",
    "conns": "connections",
    "import-path": "import-paths",
    "plaintext": "insecure",
    "q": "rps",
    "qps": "rps",
    "rate": "rps",
    "requests": "total",
    "threshold": "slo",
    "thresholds": "slo",
    "workers": "concurrency",
}


def suggest(name: str) -> str:
    """Returns the name of the flag, or of the key, that was meant; empty if none is near.

    Args:
        name: without dashes in front.
    """
    folded = name.lower().replace("_", "-")
    if folded in _OTHER_NAMES:
        return _OTHER_NAMES[folded]
    if name in BY_SHORT:
        return BY_SHORT[name].name
    by_folded_name = {each.lower(): each for each in BY_NAME}
    near = get_close_matches(folded, by_folded_name, n=1, cutoff=0.6)
    return by_folded_name[near[0]] if near else ""
