"""What calls send, from what the options say."""

from __future__ import annotations

import math

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.requests.binary_messages import binary_messages
from tailrace.loadtest.requests.data_input import DataInput, Form, data_input, metadata_text
from tailrace.loadtest.requests.json_text import parse_json
from tailrace.loadtest.requests.line_messages import LineMessages
from tailrace.loadtest.requests.message_encoder import MessageEncoder
from tailrace.loadtest.requests.metadata_supply import MetadataSupply, metadata_supply
from tailrace.loadtest.requests.request import Request, RequestSource
from tailrace.loadtest.requests.supply import FixedMessages, MessageSupply
from tailrace.loadtest.requests.template.call_data import CallData
from tailrace.loadtest.requests.template.template_error import TemplateError
from tailrace.loadtest.requests.templated_messages import templated_messages
from tailrace.loadtest.requests.templates import read_template

# Requests that are the same each time are kept up to so many, and so many bytes.
_KEPT_REQUESTS = 100_000
_KEPT_BYTES = 64 << 20
_BESIDE_BYTES = 400
# Of a file in lines, the first so many are encoded before the load begins, to check them.
CHECKED_LINES = 100_000


class Requests:
    """What calls send, put together from messages and metadata."""

    def __init__(
        self, messages: MessageSupply, metadata: MetadataSupply, data: CallData, *, streams: bool
    ) -> None:
        """Takes what requests are made of.

        Args:
            messages: of the calls.
            metadata: of the calls.
            data: of one call after the other, for templates.
            streams: True if each call sends all messages, False if they are taken in turn.
        """
        self._messages = messages
        self._metadata = metadata
        self._data = data
        self._streams = streams
        # After so many calls, requests are the same again; 0 if they never are.
        self._period = 0
        if not messages.varies and not metadata.varies:
            count = 1 if streams else messages.count
            self._period = math.lcm(count, metadata.count)
        self._kept: dict[int, Request] = {}
        self._kept_bytes = 0
        self._all: tuple[bytes, ...] | None = None

    def request(self, number: int, worker: int) -> Request:
        """Returns what a call sends: see `RequestSource`."""
        if not self._period:
            self._data.begin(number, worker)
            return self._made(number)
        at = number % self._period
        kept = self._kept.get(at)
        if kept is None:
            kept = self._made(number)
            if len(self._kept) < _KEPT_REQUESTS and self._kept_bytes < _KEPT_BYTES:
                self._kept[at] = kept
                self._kept_bytes += sum(map(len, kept.messages)) + _BESIDE_BYTES
        return kept

    def message(self, number: int, worker: int, place: int) -> bytes:
        """Returns one message of a stream: see `RequestSource`."""
        self._data.begin(number, worker, place)
        try:
            return self._messages.one(place, self._data)
        except TemplateError as error:
            raise _bad_call(error, number) from error

    def _made(self, number: int) -> Request:
        try:
            return Request(self._sent(number), self._metadata.of(number, self._data))
        except TemplateError as error:
            raise _bad_call(error, number) from error

    def _sent(self, number: int) -> tuple[bytes, ...]:
        if not self._streams:
            return (self._messages.one(number, self._data),)
        if self._messages.varies:
            return self._messages.all(self._data)
        if self._all is None:
            self._all = self._messages.all(self._data)
        return self._all


def make_source(options: LoadOptions, method: MethodSpec, *, check: bool = False) -> RequestSource:
    """Returns where calls get what they send from.

    What needs no template is encoded here and now, except for a file with a document a line: it is
    encoded line by line, when the lines' turns come.

    Args:
        options: what to send. Standard input is there already.
        method: what to send it to.
        check: encodes what would be encoded later, too, to find what is wrong with it: the first
            `CHECKED_LINES` lines, and all templates as call 0 has them.

    Raises:
        LoadError: data or metadata are not what the method takes.
    """
    data = CallData(
        method.descriptor,
        name=options.name,
        connections=options.connections,
        seed=options.seed,
    )
    messages = _messages(options, method, data_input(options), data)
    text, place = metadata_text(options)
    template = read_template(text, options, place)
    if template is not None:
        data.reserve(template.slots)
    metadata = metadata_supply(text, template, place)
    streams = method.client_streaming and not options.message_per_call
    requests = Requests(messages, metadata, data, streams=streams)
    if check:
        _check(requests, messages, data)
    return requests


def _messages(
    options: LoadOptions, method: MethodSpec, given: DataInput, data: CallData
) -> MessageSupply:
    encoder = MessageEncoder(method.input_class)
    if given.form is Form.LINES:
        assert not isinstance(given.content, str)
        return LineMessages(
            given.content,
            encoder,
            given.place,
            templates=not options.disable_template_data,
            functions=not options.disable_template_functions,
        )
    if isinstance(given.content, bytes):
        return FixedMessages(binary_messages(given.content, method.input_class, given.place))
    assert isinstance(given.content, str)
    if not given.content.strip():
        return FixedMessages([b""])
    template = read_template(given.content, options, given.place)
    if template is not None:
        data.reserve(template.slots)
        return templated_messages(template, encoder, given.place)
    return _fixed(parse_json(given.content, given.place), encoder, given.place, method)


def _fixed(value: object, encoder: MessageEncoder, place: str, method: MethodSpec) -> FixedMessages:
    if not isinstance(value, list):
        return FixedMessages([encoder.encode(value, place)])
    if not value and not method.client_streaming:
        raise LoadError(f"{place} has no messages", "a message without fields is {}")
    messages = [
        encoder.encode(item, f"message {at} of {place}") for at, item in enumerate(value, start=1)
    ]
    return FixedMessages(messages)


def _check(requests: Requests, messages: MessageSupply, data: CallData) -> None:
    requests.request(0, 0)
    try:
        for place in range(min(messages.count, CHECKED_LINES)):
            data.begin(0, 0)
            messages.one(place, data)
    except TemplateError as error:
        raise _bad_call(error, 0) from error


def _bad_call(error: TemplateError, number: int) -> LoadError:
    return LoadError(
        f"the template of call {number} cannot be filled: {error.problem}",
        "--disable-template-data sends it as it is",
    )
