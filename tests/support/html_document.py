"""An HTML document as a browser sees it: text by element, tables, and what it would load."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"br", "meta"}
# Attributes that make a browser load what they name.
_LOADING = {"src", "srcset", "href", "xlink:href", "data", "poster", "action", "background"}


@dataclass
class Element:
    """One element.

    Attributes:
        name: of its tag.
        attributes: by name.
        children: elements and text, in order.
    """

    name: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it."""
        return "".join(one if isinstance(one, str) else one.text for one in self.children)

    def all(self, name: str) -> list[Element]:
        """Returns the elements of a tag in it, at any depth, in order."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                found += [child] if child.name == name else []
                found += child.all(name)
        return found

    def by_id(self, id_: str) -> Element:
        """Returns the element in it that has an id; fails the test unless it is one."""
        (found,) = [one for one in self.everything() if one.attributes.get("id") == id_]
        return found

    def everything(self) -> list[Element]:
        """Returns all elements in it, in order."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                found += [child, *child.everything()]
        return found

    def table(self, caption: str) -> dict[str, list[str]]:
        """Returns the cells of the table whose caption begins so, by the first of each row."""
        (table,) = [
            one for one in self.all("table") if one.all("caption")[0].text.startswith(caption)
        ]
        (body,) = table.all("tbody")
        rows = [
            [cell.text for cell in row.children if isinstance(cell, Element)]
            for row in body.all("tr")
        ]
        return {first: others for first, *others in rows}

    @property
    def loaded(self) -> list[str]:
        """What a browser would load for it: all but places in the document itself."""
        named = [
            value
            for one in self.everything()
            for name, value in one.attributes.items()
            if name in _LOADING and not value.startswith("#")
        ]
        styles = [style.text for style in self.all("style")]
        styles += [one.attributes.get("style", "") for one in self.everything()]
        return named + [style for style in styles if "url(" in style or "@import" in style]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"an attribute twice in <{tag}>: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        element = self.open.pop()
        assert element.name == tag, f"</{tag}> at {self.getpos()} closes <{element.name}>"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def html_document(text: str) -> Element:
    """Returns a document; fails the test if its elements are not closed in order."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == [reader.root], f"not closed: {[one.name for one in reader.open]}"
    return reader.root
