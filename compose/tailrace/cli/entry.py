"""Where the command `tailrace` begins, also where only the client was installed."""

from __future__ import annotations

import sys

_REMEDY = 'tailrace: error: the command line needs an extra: pip install "tailrace[server]"'


def main() -> None:
    """Runs the command line; without what it needs, says in a line how to install that."""
    try:
        from tailrace.cli.main import main as run
    except ModuleNotFoundError as error:
        # A module of Tailrace's own that is missing is a defect, which no extra mends.
        if (error.name or "").partition(".")[0] == "tailrace":
            raise
        print(f"{_REMEDY} (there is no module {error.name!r})", file=sys.stderr)
        sys.exit(1)
    run()
