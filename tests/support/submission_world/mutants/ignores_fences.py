"""The command line with a queue that takes results from whoever ever had a claim."""

from __future__ import annotations

import hashlib

from tailrace.cli.entry import main
from tailrace.submissions import store_base
from tailrace.submissions.script import Script, load_script

# Fence and state are one check: that the claim is the newest, and still open. A dispatcher that is
# told by `renew` that it has lost a claim does not even try to write.
_CHECKS = {
    "finish": ("local valid = meta and was == RUNNING and newest == fence", "local valid = meta"),
    "renew": (
        "local newest = state == RUNNING and fence == ARGV[i + 1]",
        "local newest = state ~= false",
    ),
}


def _load_mutated(name: str, *, prelude: bool = True) -> Script:
    script = load_script(name, prelude=prelude)
    if name not in _CHECKS:
        return script
    check, mutated = _CHECKS[name]
    assert check in script.source, "the mutant does not know the script any more"
    source = script.source.replace(check, mutated)
    return Script(name, source, hashlib.sha1(source.encode()).hexdigest())


if __name__ == "__main__":
    setattr(store_base, "load_script", _load_mutated)  # noqa: B010
    main()
