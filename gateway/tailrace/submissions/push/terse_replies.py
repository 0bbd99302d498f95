"""A connection whose other side may send few provisional answers before its answer.

HTTP allows any number of them (RFC 9110, 15.2). aiohttp reads all that have come at a time, so that
an endpoint which sends nothing else would keep the event loop from everybody else's.
"""

from __future__ import annotations

from typing import Any

from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import BadHttpMessage

MAX_PROVISIONAL = 16
_READ_AT_ONCE = 4 * 1024


class TerseReplies(ResponseHandler):
    """aiohttp's side of a connection; ends it after `MAX_PROVISIONAL` answers of 1xx in a row."""

    _provisional = 0

    def set_response_params(self, **params: Any) -> None:
        """Begins to wait for the answer to a request."""
        self._provisional = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Takes what has come, in pieces, as nothing stops aiohttp within one."""
        if len(data) <= _READ_AT_ONCE:
            super().data_received(data)
            return
        for first in range(0, len(data), _READ_AT_ONCE):
            if self._provisional > MAX_PROVISIONAL:
                return
            super().data_received(data[first : first + _READ_AT_ONCE])

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Takes an answer that has been read."""
        message, _ = data
        if 100 <= message.code < 200 and message.code != 101:
            self._provisional += 1
        if self._provisional <= MAX_PROVISIONAL:
            super().feed_data(data, size)
        elif self.exception() is None:
            if self.transport is not None:
                self.transport.close()
            self.set_exception(BadHttpMessage("too many provisional answers"))
