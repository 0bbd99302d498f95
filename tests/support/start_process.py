"""What the fixture `start_process` gives."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any, Protocol


class StartProcess(Protocol):
    """Starts a process that does not outlive the test."""

    def __call__(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Returns it.

        Args:
            command: and its arguments.
            options: those of `subprocess.Popen`.
        """
