"""Writes the files of `compose/elk` that are generated: `python -m tailrace.cli.elk [--check]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tailrace.cli.elk.index_template import (
    TEMPLATE,
    component_templates,
    index_template,
)
from tailrace.cli.elk.log_dashboard import saved_objects

ELK_DIR = Path(__file__).parents[3] / "elk"
"""In a checkout; the containers mount it."""


def files(folder: Path) -> dict[Path, str]:
    """Returns what the generated files in a folder have to be."""
    elasticsearch = folder / "elasticsearch"
    pages = {
        elasticsearch / "component_templates" / f"{name}.json": content
        for name, content in component_templates().items()
    }
    pages[elasticsearch / "index_templates" / f"{TEMPLATE}.json"] = index_template()
    lines = [json.dumps(each, sort_keys=True) for each in saved_objects()]
    return {
        **{file: json.dumps(content, indent=2) + "\n" for file, content in pages.items()},
        folder / "kibana" / "saved_objects.ndjson": "\n".join(lines) + "\n",
    }


def main(arguments: list[str]) -> int:
    """Writes the files, or says with `--check` which are not as they have to be."""
    stale = []
    for file, text in files(ELK_DIR).items():
        if "--check" in arguments:
            if not file.is_file() or file.read_text("utf-8") != text:
                stale.append(file)
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    for file in stale:
        print(f"{file} is not what the code makes: run `make elk`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
