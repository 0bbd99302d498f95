"""`python -m …bench.piped_stdout serve …`: the command line, its output into a pipe.

Standard output is the named pipe that PIPED_STDOUT names; standard error stays. Whoever starts it
holds the pipe open, and may leave it unread.
"""

from __future__ import annotations

import os
import sys

from tailrace.cli.entry import main

VARIABLE = "PIPED_STDOUT"
MODULE = "tailrace.loadtest.bench.piped_stdout"


def _redirect() -> None:
    pipe = os.open(os.environ[VARIABLE], os.O_WRONLY)  # noqa: TID251  # no setting of ours
    sys.stdout.flush()
    os.dup2(pipe, sys.stdout.fileno())
    os.close(pipe)


if __name__ == "__main__":
    _redirect()
    main()
