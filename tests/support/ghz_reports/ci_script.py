"""What a build runs after ghz: reads its JSON, tells some figures, and fails on errors.

    python ci_script.py REPORT

Written for ghz's JSON and nothing else: it knows no key of ours.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime


def main() -> int:
    """Returns 1 if a call failed, else 0."""
    with open(sys.argv[1], encoding="utf-8") as file:
        report = json.load(file)
    datetime.fromisoformat(report["date"])
    called = report["options"]["call"].rpartition(".")[2]
    target = f"{called} at {report['options']['host']}"
    print(f"{report.get('name', called)}: {report['count']} calls of {target}")
    print(f"ended: {report['endReason']} after {report['total'] / 1e9:.3f} s")
    print(f"rate: {report['rps']:.1f}, asked for {report['options'].get('rps', 0)}")
    by_percentage = {
        step["percentage"]: step["latency"] / 1e6 for step in report["latencyDistribution"] or []
    }
    for percentage in (50, 95, 99):
        print(f"p{percentage}: {by_percentage.get(percentage, float('nan')):.3f} ms")
    for bar in report["histogram"] or []:
        print(f"bar: {bar['mark'] * 1e3:.3f} ms {bar['count']} {bar['frequency']:.1%}")
    for status, count in sorted(report["statusCodeDistribution"].items()):
        print(f"{status}: {count}")
    slowest = max(report["details"], key=lambda call: call["latency"])
    assert isinstance(slowest["latency"], int) and len(report["details"]) == report["count"]
    print(f"slowest: {slowest['latency'] / 1e6:.3f} ms, {slowest['status']} {slowest['error']}")
    for key, value in sorted(report.get("tags", {}).items()):
        print(f"{key}: {value}")
    failed = sum(report["errorDistribution"].values())
    assert failed == report["count"] - report["statusCodeDistribution"].get("OK", 0)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
