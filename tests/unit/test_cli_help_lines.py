"""Help texts break where the terminal ends, and not where the lines of docstrings do."""

from __future__ import annotations

from typer.testing import CliRunner

from tailrace.cli.help_lines import joined
from tailrace.cli.main import app


def test_paragraphs_become_one_line_each_and_lists_stay() -> None:
    text = "First\nline.\n\nA second\nparagraph.\n\n  - a list\n  - stays\n\n\b\nas it\nis"
    assert joined(text) == (
        "First line.\n\nA second paragraph.\n\n  - a list\n  - stays\n\n\b\nas it\nis"
    )


def test_the_help_of_a_command_of_a_group_fills_its_lines() -> None:
    found = CliRunner().invoke(app, ["features", "list", "--help"], env={"COLUMNS": "80"})
    assert found.exit_code == 0
    prose = found.output.partition("Asks the mesh")[2].partition("Options")[0]
    lines = [line.strip() for line in prose.splitlines() if line.strip(" ╭─")]
    # None but the last could have taken the next line's first word.
    for line, after in zip(lines[1:], lines[2:], strict=False):
        assert len(line) + 1 + len(after.split()[0]) > 78, line
    assert len(lines) > 2
