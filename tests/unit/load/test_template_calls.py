from __future__ import annotations

import re
import time
import uuid
from datetime import datetime
from pathlib import Path

import pytest

from tailrace.loadtest.requests.template.call_data import VARIABLES, CallData
from tailrace.loadtest.requests.template.functions import find_function, function_names
from tailrace.loadtest.requests.template.template import Template
from tests.support.load_messages import SERVICE, echo_pool


def _data(
    method: str = "Echo", *, name: str = "", connections: int = 1, seed: int | None = None
) -> CallData:
    service = echo_pool().FindServiceByName(SERVICE)
    return CallData(service.methods_by_name[method], name=name, connections=connections, seed=seed)


def _filled(text: str, data: CallData, number: int = 0, worker: int = 0) -> str:
    data.begin(number, worker)
    return Template(text).fill(data)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RequestNumber", "12"),
        ("FullyQualifiedName", "test.load.EchoService.Collect"),
        ("MethodName", "Collect"),
        ("ServiceName", "EchoService"),
        ("InputName", "EchoRequest"),
        ("OutputName", "EchoResponse"),
        ("IsClientStreaming", "true"),
        ("IsServerStreaming", "false"),
        ("WorkerID", "g3c0"),
    ],
)
def test_a_variable_tells_of_the_call(name: str, value: str) -> None:
    assert _filled(f"{{{{.{name}}}}}", _data("Collect"), 12, 3) == value


@pytest.mark.parametrize(
    ("name", "connections", "worker", "told"),
    [("", 2, 3, "g3c1"), ("nightly", 1, 0, "nightly:g0c0"), ("", 4, 9, "g9c1")],
)
def test_a_caller_is_named_as_in_ghz(name: str, connections: int, worker: int, told: str) -> None:
    data = _data(name=name, connections=connections)
    assert _filled("{{.WorkerID}}", data, 0, worker) == told


def test_the_instant_is_one_for_a_call_in_all_of_its_forms() -> None:
    before = time.time_ns()
    text = _filled(
        "{{.Timestamp}} {{.TimestampUnix}} {{.TimestampUnixMilli}} {{.TimestampUnixNano}}",
        _data(),
    )
    stamp, seconds, millis, nanos = text.split()
    assert before <= int(nanos) <= time.time_ns()
    assert int(millis) == int(nanos) // 1_000_000
    assert int(seconds) == int(nanos) // 1_000_000_000
    assert datetime.fromisoformat(stamp).timestamp() == int(seconds)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", stamp)


def test_a_call_has_one_uuid_of_its_own_and_new_ones_where_they_are_asked_for() -> None:
    data = _data()
    first, again, new = _filled("{{.UUID}} {{.UUID}} {{newUUID}}", data).split()
    following = _filled("{{.UUID}}", data, 1)
    assert first == again
    assert len({first, new, following}) == 3
    assert all(uuid.UUID(text).version == 4 for text in (first, new, following))
    assert all(uuid.UUID(text).variant == uuid.RFC_4122 for text in (first, new, following))


def test_random_values_keep_to_their_bounds() -> None:
    data = _data()
    template = Template("{{randomInt 3 6}} {{randomString 8}} {{randomString 0}} {{randInt 0 2}}")
    numbers, lengths, small = set(), set(), set()
    for number in range(300):
        data.begin(number, 0)
        whole, text, other, below_two = template.fill(data).split(" ")
        assert re.fullmatch("[A-Za-z0-9]{8}", text)
        numbers.add(whole)
        lengths.add(len(other))
        small.add(below_two)
    assert numbers == {"3", "4", "5"}
    assert small == {"0", "1"}
    assert min(lengths) >= 2 and max(lengths) <= 16 and len(lengths) > 8


def test_a_negative_bound_counts_as_in_ghz() -> None:
    assert _filled("{{randomInt -5 -5}}", _data()) == "0"


def test_with_a_seed_a_call_has_the_same_random_values_whoever_makes_it() -> None:
    text = "{{newUUID}} {{randomString 0}} {{randomInt 0 1000000}} {{shuffle `abcdef`}}"
    one, other = _data(seed=5), _data(seed=5)
    template = Template(text)
    in_order = []
    for number in range(10):
        one.begin(number, 0)
        in_order.append(template.fill(one))
    backwards = []
    for number in reversed(range(10)):
        other.begin(number, 3)
        backwards.append(template.fill(other))
    assert in_order == backwards[::-1]
    assert len(set(in_order)) == 10
    assert _filled(text, _data(seed=6)) != in_order[0]


def test_messages_of_a_stream_differ_with_a_seed_too() -> None:
    data = _data(seed=5)
    template = Template("{{newUUID}}")
    seen = set()
    for place in range(-1, 5):
        data.begin(0, 0, place)
        seen.add(template.fill(data))
    assert len(seen) == 6


def test_every_function_and_variable_is_known_and_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "load-testing.md").read_text()
    for name in function_names():
        assert name in {"and", "or"} or find_function(name, all_of_them=True).name == name
        assert f"`{name}`" in page
    for name in VARIABLES:
        assert f"`.{name}`" in page
    assert len(VARIABLES) == 14
