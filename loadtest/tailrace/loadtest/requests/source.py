"""What calls send, from what the options say."""

from __future__ import annotations

import json

from google.protobuf import json_format

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.requests.request import Request, RequestSource


class SharedRequests:
    """The same requests again and again, in turn."""

    def __init__(self, requests: list[Request]) -> None:
        self._requests = requests

    def request(self, number: int, worker: int) -> Request:
        """Returns what a call sends: see `RequestSource`."""
        return self._requests[number % len(self._requests)]

    def message(self, number: int, worker: int, place: int) -> bytes:
        """Returns one message of a stream: see `RequestSource`."""
        messages = self.request(number, worker).messages
        return messages[place % len(messages)]


def make_source(options: LoadOptions, method: MethodSpec) -> RequestSource:
    """Returns where calls get what they send from.

    Raises:
        LoadError: data or metadata are not what the method takes.
    """
    text = options.data
    if options.data_file is not None:
        text = options.data_file.read_text()
    try:
        value = json.loads(text or "{}")
        values = value if isinstance(value, list) else [value]
        messages = [
            json_format.ParseDict(item, method.input_class()).SerializeToString() for item in values
        ]
    except ValueError as error:
        raise LoadError(f"data is not JSON: {error}") from error
    except json_format.ParseError as error:
        raise LoadError(f"data is no {method.descriptor.input_type.full_name}: {error}") from error
    if method.client_streaming:
        return SharedRequests([Request(tuple(messages))])
    return SharedRequests([Request((message,)) for message in messages])
