"""What reads the answers of a run."""

from __future__ import annotations

from importlib import import_module

from tailrace.loadtest.hops.readers import reader_for
from tailrace.loadtest.hops.response_reader import ResponseReader
from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions


def answer_reader(method: MethodSpec, options: LoadOptions) -> ResponseReader | None:
    """Returns what reads answers: what the options name, or else what suits the method.

    Returns:
        None where nobody looks at answers.

    Raises:
        LoadError: there is nothing of the name in `options.reader`.
    """
    if not options.reader:
        return reader_for(method, options)
    module, _, name = options.reader.partition(":")
    try:
        reader: ResponseReader = getattr(import_module(module), name)()
    except (ImportError, AttributeError, ValueError) as error:
        raise LoadError(f"reader {options.reader!r}: {error}", "it is MODULE:CLASS") from error
    return reader
