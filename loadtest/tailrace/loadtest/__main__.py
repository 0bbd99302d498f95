"""`python -m tailrace.loadtest`: the same as `tailrace load`."""

from __future__ import annotations

import sys

from tailrace.loadtest.options.command import main

if __name__ == "__main__":
    sys.exit(main())
