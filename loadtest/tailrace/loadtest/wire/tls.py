"""TLS as the options ask for it."""

from __future__ import annotations

import ssl
from pathlib import Path

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.wire.target import Target


def tls_context(options: LoadOptions) -> ssl.SSLContext | None:
    """Returns what handshakes are made with; None for plaintext.

    Raises:
        LoadError: a certificate or a key cannot be read.
    """
    if options.insecure:
        return None
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    if options.cacert is not None:
        # In place of the system's roots, not beside them.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["h2"])
        try:
            context.load_verify_locations(options.cacert)
        except OSError as error:
            raise _unreadable(options.cacert, error, "--cacert takes PEM") from error
    if options.skip_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.cert is not None and options.key is not None:
        try:
            context.load_cert_chain(options.cert, options.key, password=_no_password)
        except OSError as error:
            hint = f"--cert and --key take PEM that belongs together; the key was {options.key}"
            raise _unreadable(options.cert, error, hint) from error
    return context


def server_name(options: LoadOptions, target: Target) -> str:
    """Returns the name that the server's certificate is checked against."""
    if options.cname:
        return options.cname
    if options.authority:
        host, colon, port = options.authority.rpartition(":")
        return host.strip("[]") if colon and port.isdigit() else options.authority
    return target.host


def _no_password() -> str:
    # OpenSSL would ask on the terminal.
    return ""


def _unreadable(path: Path, error: OSError, hint: str) -> LoadError:
    told = error.reason if isinstance(error, ssl.SSLError) and error.reason else error.strerror
    return LoadError(f"{path}: {told or 'not a certificate'}", hint)
