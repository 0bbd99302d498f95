"""Writes the committed dashboards, or checks that they are what this package writes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tailrace.cli.grafana.committed import DASHBOARDS_DIR, files


def main() -> int:
    """Returns 0 once the files are written, or are as they should be; 1 if they are not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on differences")
    parser.add_argument("--folder", type=Path, default=DASHBOARDS_DIR, help="where the files are")
    arguments = parser.parse_args()
    stale = [
        path
        for path, text in files(arguments.folder).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    if arguments.check:
        for path in stale:
            print(f"{path} is not what `make dashboards` writes", file=sys.stderr)
        return 1 if stale else 0
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for path in stale:
        path.write_text(files(arguments.folder)[path], encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
