"""Reads the templates of data and metadata."""

from __future__ import annotations

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.requests.template.template import Template
from tailrace.loadtest.requests.template.template_error import TemplateError


def read_template(text: str, options: LoadOptions, place: str) -> Template | None:
    """Returns the template that a text is; None if it has no actions, or none are wanted.

    Raises:
        LoadError: it cannot be read.
    """
    if options.disable_template_data or "{{" not in text:
        return None
    try:
        return Template(text, functions=not options.disable_template_functions)
    except TemplateError as error:
        raise bad_template(error, text, place) from error


def bad_template(error: TemplateError, text: str, place: str) -> LoadError:
    """Returns the error that tells where a template is wrong."""
    where = error.place(text)
    return LoadError(
        f"{place} has a bad template, {where}: {error.problem}",
        "--disable-template-data takes it as it is",
    )
