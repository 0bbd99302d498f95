"""The compose file as the engine would read it: variables put in, anchors merged."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "compose"
FILE = FOLDER / "compose.yaml"
PROFILES = ("core", "obs", "elk", "triton", "gpu", "load")

# `${NAME}`, `${NAME:-default}`, and `$$` for a dollar sign: all that our file uses.
_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")


@dataclass(frozen=True)
class ComposeService:
    """One service.

    Attributes:
        name: its name, and that of its host.
        content: what the file says of it.
    """

    name: str
    content: Mapping[str, Any]

    @property
    def profiles(self) -> frozenset[str]:
        """The profiles that start it."""
        return frozenset(self.content.get("profiles", ()))

    @property
    def ours(self) -> bool:
        """Whether it runs the command `tailrace`."""
        return str(self.content["image"]).startswith(("tailrace:", "tailrace-example:"))

    @property
    def argv(self) -> list[str]:
        """What it runs, with what our images have as entry point."""
        entrypoint = self.content.get("entrypoint", ["tailrace"] if self.ours else [])
        return [*map(str, entrypoint), *_words(self.content.get("command", []))]

    @property
    def environment(self) -> dict[str, str]:
        """Its environment, beside that of its image."""
        return {name: str(value) for name, value in self.content.get("environment", {}).items()}

    @property
    def health_argv(self) -> list[str]:
        """The command of its health check; empty if it has none."""
        test = self.content.get("healthcheck", {}).get("test", [])
        return ["/bin/sh", "-c", test[1]] if test[:1] == ["CMD-SHELL"] else list(test[1:])

    @property
    def needs(self) -> dict[str, str]:
        """The condition on each service that has to be there before."""
        conditions = self.content.get("depends_on", {})
        return {name: need["condition"] for name, need in conditions.items()}

    @property
    def networks(self) -> frozenset[str]:
        """The networks that it is on."""
        return frozenset(self.content.get("networks", ()))

    @property
    def stop_grace_s(self) -> float:
        """How long it may take to stop, in seconds; the engine's default is 10."""
        return float(str(self.content.get("stop_grace_period", "10s")).removesuffix("s"))

    def mounts(self) -> list[tuple[str, str]]:
        """Returns source and target of each of its volumes."""
        pairs = [str(volume).split(":") for volume in self.content.get("volumes", ())]
        return [(pair[0], pair[1]) for pair in pairs]


def _words(command: Any) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else [str(word) for word in command]


def load_compose(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Returns the content of the file, with `variables` in place of those of `.env`."""
    content: dict[str, Any] = _fill(yaml.safe_load(FILE.read_text()), variables or {})
    return content


def load_services(variables: Mapping[str, str] | None = None) -> dict[str, ComposeService]:
    """Returns the services by name."""
    services = load_compose(variables)["services"]
    return {name: ComposeService(name, content) for name, content in services.items()}


def variable_names() -> set[str]:
    """Returns the variables that the file asks for."""
    lines = (line.partition(" #")[0] for line in FILE.read_text().splitlines())
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return {match["name"] for match in _VARIABLE.finditer(text) if match["name"]}


def _fill(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _fill(part, variables) for name, part in value.items()}
    if isinstance(value, list):
        return [_fill(part, variables) for part in value]
    if not isinstance(value, str):
        return value

    def put_in(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return variables.get(match["name"]) or match["default"] or ""

    return _VARIABLE.sub(put_in, value)
