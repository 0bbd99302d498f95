"""The page around a report's content: style, security policy, and nothing to load."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from tailrace.loadtest.report.html_element import Content, Html, element


def page(title: str, *content: Content, links: list[tuple[str, str]]) -> Html:
    """Returns a document that needs no other file and no network.

    Args:
        title: of the window.
        *content: of its body.
        links: id and name of each section.
    """
    style, script = _asset("html_report.css"), _asset("html_report.js")
    # Should text from elsewhere ever come to be markup, it would still run and load nothing.
    policy = f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}"
    navigation = [element("li", element("a", name, href=f"#{target}")) for target, name in links]
    document = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=policy),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("title", title),
            element("style", style),
        ),
        element(
            "body",
            element("nav", element("ul", navigation), aria_label="Sections"),
            element("main", content),
            element("script", script),
        ),
        lang="en",
    )
    return Html(f"<!DOCTYPE html>\n{document}\n")


def _asset(name: str) -> Html:
    folder = resources.files("tailrace.loadtest.report")
    return Html(folder.joinpath(name).read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
