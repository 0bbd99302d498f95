"""Checks the load tool against a server of grpc-java: `make interop-java`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tailrace.loadtest.bench.spread import Spread
from tests.support.java_interop import loads
from tests.support.java_interop.checks import CHECKS
from tests.support.load_servers import Certificates, make_certificates


def main() -> int:
    """Returns 0 if all holds, 1 if not; each thing that does not is named."""
    options = _options()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for way, tls in (("plaintext", None), ("TLS", make_certificates(Path(folder)))):
            for check in (*CHECKS, loads.every_call_is_counted, loads.connections_may_end_of_age):
                began = time.monotonic()
                name = f"{way}: {check.__name__.replace('_', ' ')}"
                try:
                    check(options.jar, tls)
                # Whatever it is, such as a server that is gone, it is told, and the others go on.
                except Exception as error:
                    failed += 1
                    print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)
                else:
                    print(f"passed  {name} ({time.monotonic() - began:.1f} s)", flush=True)
            if options.ghz is not None:
                _tell_rates(way, options, tls)
    return 1 if failed else 0


def _tell_rates(way: str, options: argparse.Namespace, tls: Certificates | None) -> None:
    for name, found in loads.rates(options.jar, options.ghz, tls, options.rounds).items():
        print(f"{way}, calls a second of {name}: {Spread.of(found).text(0)}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.java_interop",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    jar = Path(".build/echo-java/echo.jar")
    parser.add_argument("--jar", type=Path, default=jar, help="the server")
    parser.add_argument("--ghz", type=Path, help="ghz 0.121; without it, no rates are compared")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each tool where rates are")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
