"""Where the registry gets its catalog from."""

from __future__ import annotations

from typing import Any, Protocol

from tailrace.features.registry.catalog import Catalog
from tailrace.runtime.pipeline.directory import DirectoryContent
from tailrace.runtime.pipeline.registry import PipelineRegistry


class CatalogSource(Protocol):
    """Gives the catalog as it is now."""

    def current(self) -> Catalog:
        """Returns the catalog."""
        ...

    async def refresh(self) -> None:
        """Returns once the files have been looked at again."""
        ...


class ServedCatalog:
    """The catalog of what a process serves; it follows the files as the process does."""

    def __init__(self, registry: PipelineRegistry[Any]) -> None:
        """Keeps the pipelines of the process."""
        self._registry = registry
        self._content: DirectoryContent | None = None
        self._catalog: Catalog | None = None

    def current(self) -> Catalog:
        """Returns the catalog; made anew after each change of a file."""
        content = self._registry.content
        if self._catalog is None or content is not self._content:
            registry = self._registry
            self._catalog = Catalog(content, registry.pipelines(), registry.errors)
            self._content = content
        return self._catalog

    async def refresh(self) -> None:
        """Returns once the files have been looked at again."""
        await self._registry.refresh()


class FixedCatalog:
    """A catalog that was read once, as a command does."""

    def __init__(self, catalog: Catalog) -> None:
        """Keeps the catalog."""
        self._catalog = catalog

    def current(self) -> Catalog:
        """Returns the catalog."""
        return self._catalog

    async def refresh(self) -> None:
        """Returns at once: nothing is read again."""
