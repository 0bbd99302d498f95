"""The command line with couriers whose claims soon end, so that a pause outlasts them."""

from __future__ import annotations

from tailrace.cli.entry import main
from tailrace.courier import callback_line

_MARGIN_MS = 500

if __name__ == "__main__":
    # Beside the time of an attempt.
    setattr(callback_line, "LEASE_MARGIN_MS", _MARGIN_MS)  # noqa: B010
    main()
