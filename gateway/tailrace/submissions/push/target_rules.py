"""What can be told of a target without looking anything up: whether it would be called at all."""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.runtime.errors import PermissionDenied
from tailrace.submissions.push.address_rules import AddressRules, RefusedAddress
from tailrace.submissions.push.target import Target, parse_target


class TargetRules:
    """Which targets may be named, as the settings are.

    A name may still be refused when it is called, by its addresses then.
    """

    def __init__(self, allowed_networks: Iterable[str], *, allow_plaintext: bool) -> None:
        """Takes what is allowed beside public addresses and TLS.

        Args:
            allowed_networks: that are not public, and that may be connected to all the same.
            allow_plaintext: whether targets may be called without TLS.

        Raises:
            ValueError: a network is not one.
        """
        self._addresses = AddressRules(allowed_networks)
        self.allow_plaintext = allow_plaintext

    def read(self, text: str, field: str) -> Target:
        """Returns a target that may be called.

        Args:
            text: such as `https://example.com/hook`.
            field: named by errors.

        Raises:
            InvalidField: it cannot be read, or has what a target may not have.
            PermissionDenied: it is plaintext or an address, and that is not allowed.
        """
        target = parse_target(text, allow_plaintext=self.allow_plaintext, field=field)
        if target.address is not None:
            try:
                self._addresses.check(target.address)
            except RefusedAddress as error:
                raise PermissionDenied(str(error), field=field) from error
        return target
