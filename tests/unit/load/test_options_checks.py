from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.command_line import read_command_line
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.options.read_options import options_from, read_options

TARGET = ["--call=a.B/C", "h:1"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_text("{}")
    (tmp_path / "there.proto").write_text("")
    (tmp_path / "folder").mkdir()
    return tmp_path


def options(*arguments: str) -> LoadOptions:
    return read_options(read_command_line([*arguments, *TARGET]))


def said(*arguments: str) -> str:
    with pytest.raises(LoadError) as caught:
        read_options(read_command_line(arguments))
    return str(caught.value)


def test_defaults_are_ghzs() -> None:
    assert options() == LoadOptions(host="h:1", call="a.B/C")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["h:1"], "no method is named"),
        (["--call="], "no method is named"),
        (["--call=Predict", "h:1"], "--call: 'Predict' is no method"),
        (["--call=a.B/C/D", "h:1"], "--call: 'a.B/C/D' is no method"),
        (["--call=a.B/", "h:1"], "--call: 'a.B/' is no method"),
        (["--call=a.B/C"], "no host is named"),
        (["--call=a.B/C", "localhost"], "'localhost' is no target"),
        (["--call=a.B/C", "http://h:1"], "'http://h:1' is no target"),
        (["--call=a.B/C", "h:grpc"], "'h:grpc': 'grpc' is no port"),
        (["--call=a.B/C", "h:65536"], "'h:65536': '65536' is no port"),
        (["--call=a.B/C", "h:0"], "'h:0': '0' is no port"),
        (["--call=a.B/C", "[::1]"], "'[::1]' is no target"),
    ],
)
def test_what_is_called_has_to_be_named(arguments: list[str], problem: str) -> None:
    assert said(*arguments).startswith(f"{problem} (")


@pytest.mark.parametrize(
    "host", ["h:1", "127.0.0.1:50050", "[::1]:80", "dns:///h:1", "dns:///h", "unix:/tmp/s"]
)
def test_targets_are_hosts_names_and_sockets(host: str) -> None:
    line = read_command_line(["--call=/a.B/C", host])
    assert read_options(line).host == host


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("-d {} -D there", "--data and --data-file are both there"),
        ("-b -B there", "--binary and --binary-file are both there"),
        ("-m {} -M there", "--metadata and --metadata-file are both there"),
        ("--stream-dynamic-messages -B there", "--stream-dynamic-messages is there with binary"),
        ("-c0", "--concurrency is 0"),
        ("-n0", "--total is 0"),
        ("--max-in-flight 0", "--max-in-flight is 0"),
        ("--max-recv-message-size 0", "--max-recv-message-size is 0"),
        ("--connections 51", "--connections 51 is more than --concurrency 50"),
        ("--skipFirst 201", "--skipFirst 201 is more than --total 200"),
        ("--cert there", "--cert is there without --key"),
        ("--key there", "--key is there without --cert"),
        ("--load-schedule line --load-step 1", "--load-schedule line: --load-start and --load-end "
         "are both 0"),
        ("--load-schedule step --load-end 9", "--load-schedule step has no --load-step"),
        ("--load-schedule step --load-end 9 --load-step 1", "--load-schedule step has no "
         "--load-step-duration"),
        ("--load-schedule line --load-end 9 --load-step 1e-9", "--load-schedule line: --load-step "
         "is 1e-09 (steps are 0.001 or more)"),
        ("--load-schedule line --load-start 5 --load-end 9 --load-step=-1",
         "--load-schedule line: --load-step -1 leads away from --load-end 9"),
        ("--concurrency-schedule step --concurrency-end 5", "--concurrency-schedule step has no "
         "--concurrency-step-duration"),
        ("--concurrency-schedule line --concurrency-step 0 --concurrency-end 5",
         "--concurrency-schedule line has no --concurrency-step"),
        ("--proto there", "--proto: there does not end in .proto"),
        ("--proto nowhere.proto", "--proto: nowhere.proto: No such file or directory"),
        ("-i folder,nowhere", "--import-paths: nowhere is no folder"),
        ("--protoset nowhere", "--protoset: nowhere: No such file or directory"),
        ("-D nowhere", "--data-file: nowhere: No such file or directory"),
        ("-D folder", "--data-file: folder is a folder"),
        ("-M nowhere", "--metadata-file: nowhere: No such file or directory"),
        ("-B nowhere", "--binary-file: nowhere: No such file or directory"),
        ("--cacert nowhere", "--cacert: nowhere: No such file or directory"),
        ("--baseline nowhere", "--baseline: nowhere: No such file or directory"),
        ("-o nowhere/report", "--output: there is no folder nowhere"),
        ("-o folder", "--output: folder is a folder"),
        ("--hgrm nowhere/report", "--hgrm: there is no folder nowhere"),
        ("--debug nowhere/log", "--debug: there is no folder nowhere"),
        ("-o same --hgrm ./same", "--output and --hgrm are both same"),
    ],
)  # fmt: skip
def test_what_cannot_go_well_is_told_before(arguments: str, problem: str) -> None:
    assert said(*arguments.split(), *TARGET).startswith(problem)


def test_a_proto_file_may_lie_in_an_import_path(folder: Path) -> None:
    (folder / "folder" / "inner.proto").write_text("")
    assert options("--proto=inner.proto", "-ifolder").proto == Path("inner.proto")


def test_a_report_may_go_to_a_device_twice() -> None:
    assert options("-o/dev/null", "--hgrm=/dev/null").output == Path("/dev/null")


def test_a_maximal_duration_comes_before_a_duration() -> None:
    both = options("-z5s", "-x7s")
    assert (both.duration, both.max_duration) == (0, 7)


def test_no_connections_and_no_cpus_are_one() -> None:
    assert options("--connections=0", "--cpus=0") == options()


def configured(folder: Path, keys: dict[str, object], *arguments: str) -> LoadOptions:
    file = folder / "config.json"
    file.write_text(json.dumps({"call": "a.B/C", "host": "h:1"} | keys))
    return read_options(read_command_line([f"--config={file}", *arguments]))


def test_flags_come_before_the_file(folder: Path) -> None:
    made = configured(
        folder, {"total": 7, "insecure": True, "rps": 5}, "-n9", "--no-insecure", "other:2"
    )
    assert (made.total, made.insecure, made.rps, made.host) == (9, False, 5, "other:2")


def test_a_flag_that_says_the_default_comes_before_the_file_too(folder: Path) -> None:
    assert configured(folder, {"total": 7}, "-n200").total == 200


def test_a_flag_with_nothing_takes_away_what_the_file_says(folder: Path) -> None:
    assert configured(folder, {"output": "report"}, "--output=").output is None


@pytest.mark.parametrize(
    ("arguments", "field"),
    [(["-d", "{}"], "data"), (["-Dthere"], "data_file"), (["-Bthere"], "binary_file"),
     (["-b"], "binary")],
)  # fmt: skip
def test_a_flags_data_takes_the_place_of_all_of_the_files(
    folder: Path, arguments: list[str], field: str
) -> None:
    for keys in ({"data": {"a": 1}}, {"data-file": "there"}, {"binary-file": "there"}):
        made = configured(folder, dict(keys), *arguments)
        sources = ("data", "data_file", "binary", "binary_file")
        assert [name for name in sources if getattr(made, name)] == [field]


def test_the_files_data_stays_with_other_flags(folder: Path) -> None:
    made = configured(folder, {"data": {"a": 1}, "metadata": {"b": "c"}}, "-Mthere", "-n1")
    assert (made.data, made.metadata, made.metadata_file) == ('{"a": 1}', "", Path("there"))


def test_keys_make_options_without_a_command_line() -> None:
    made = options_from({"host": "h:1", "call": "a.B/C", "rps": 5}, "a test")
    assert made == LoadOptions(
        host="h:1", call="a.B/C", rps=5, concurrency_start=1, concurrency_step=0
    )
