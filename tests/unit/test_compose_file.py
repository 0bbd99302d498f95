"""The compose file fits the commands, settings and files of this checkout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from tailrace.cli.local.local_triton import trace_arguments
from tailrace.cli.main import app
from tailrace.cli.serve import SERVICES
from tailrace.runtime import config
from tests.support.compose_file import (
    FILE,
    FOLDER,
    PROFILES,
    ROOT,
    ComposeService,
    load_compose,
    load_services,
    variable_names,
)

ALL = load_services()
ENDLESS = [service for service in ALL.values() if service.content.get("restart") != "no"]
# Images without anything that could ask, and what takes no calls.
WITHOUT_HEALTH = {"otel-collector", "load"}


def named(services: list[ComposeService]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("service", services, ids=lambda service: service.name)


OURS = [service for service in ALL.values() if service.ours]
SERVED = [service for service in OURS if service.argv[1] == "serve"]


def test_every_process_of_a_mesh_is_a_service_of_its_name() -> None:
    assert {service.name for service in SERVED} == set(SERVICES)
    assert all(service.argv == ["tailrace", "serve", service.name] for service in SERVED)


def test_every_profile_has_services_and_no_other_is_used() -> None:
    used = {profile for service in ALL.values() for profile in service.profiles}
    assert used == set(PROFILES)
    assert all(len(service.profiles) == 1 for service in ALL.values())


@named(list(ALL.values()))
def test_what_a_service_needs_is_in_its_profile_or_in_core(service: ComposeService) -> None:
    for name, condition in service.needs.items():
        assert ALL[name].profiles <= service.profiles | {"core"}
        is_endless = ALL[name] in ENDLESS
        assert condition == ("service_healthy" if is_endless else "service_completed_successfully")
        assert not is_endless or ALL[name].health_argv, f"nobody can wait for {name}"


@named(list(ALL.values()))
def test_images_are_pinned_by_version(service: ComposeService) -> None:
    tag = str(service.content["image"]).rpartition("/")[2].partition(":")[2]
    assert re.match(r"v?\d+\.\d+", tag)


@named(list(ALL.values()))
def test_ports_are_published_on_loopback(service: ComposeService) -> None:
    for port in service.content.get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
        assert {"edge", "screens"} & service.networks, "nothing gets out of an internal network"


def test_no_two_services_publish_one_port() -> None:
    ports = [port.split(":")[1] for each in ALL.values() for port in each.content.get("ports", ())]
    assert len(ports) == len(set(ports))


@named(list(ALL.values()))
def test_services_are_bounded(service: ComposeService) -> None:
    content = service.content
    assert content["logging"]["options"].keys() >= {"max-size", "max-file"}
    assert content["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert content["cap_drop"] == ["ALL"]
    assert content["security_opt"] == ["no-new-privileges:true"]
    assert content["restart"] in ("no", "unless-stopped", "always")
    if service.ours:
        assert content["read_only"] is True


@named(ENDLESS)
def test_services_have_a_health_check(service: ComposeService) -> None:
    if service.name in WITHOUT_HEALTH:
        assert service.content["healthcheck"] == {"disable": True}
        return
    assert service.health_argv
    assert service.content["healthcheck"].keys() >= {"interval", "timeout", "retries"}


@named([service for service in ENDLESS if not service.ours])
def test_health_checks_ask_a_port_that_the_service_has(service: ComposeService) -> None:
    asked = re.findall(r"(?:127\.0\.0\.1:|localhost:|-p )(\d+)", " ".join(service.health_argv))
    known = {"grafana": "3000", "jaeger": "13133", "redis-exporter": "9121", "prometheus": "9090"}
    known |= {"elasticsearch": "9200", "kibana": "5601", "logstash": "9600"}
    for port in asked:
        said = re.findall(r"\b(\d{4,5})\b", " ".join(service.argv))
        assert port in said or port == known.get(service.name)


@named(OURS)
def test_variables_are_settings_of_the_process(service: ComposeService) -> None:
    is_served = service in SERVED
    model = SERVICES[service.name] if is_served else config.FeaturesSettings
    known = {f"{config.PREFIX}{name.upper()}" for name in model.model_fields}
    assert service.environment.keys() <= known


@named(SERVED)
def test_settings_are_usable(service: ComposeService, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    settings = config.load_settings(SERVICES[service.name])
    assert settings.metrics_port == 9100 and settings.traces_endpoint is None
    # The engine kills what has not stopped by then.
    assert settings.drain_grace_ms / 1000 + 5 <= service.stop_grace_s


@named(SERVED)
def test_targets_are_services_that_can_be_reached(service: ComposeService) -> None:
    for name, value in service.environment.items():
        found = re.search(r"(?:dns:///|@)([\w-]+):(\d+)", value)
        if found is None:
            continue
        other = ALL[found[1]]
        assert other.environment.get("TAILRACE_PORT", "6379") == found[2], name
        assert other.networks & service.networks, f"{service.name} cannot reach {other.name}"


@named([service for service in OURS if service.argv[0] == "tailrace"])
def test_commands_are_understood(service: ComposeService) -> None:
    understand(service.argv)


def test_the_commands_of_the_load_generator_are_understood() -> None:
    script = ALL["load"].argv[-1]
    commands = re.findall(r"tailrace [^>&]*", script)
    assert len(commands) == 2
    for command in commands:
        understand(command.split())


def understand(argv: list[str]) -> None:
    """Parses a command line as the command `tailrace` would, down to the last argument."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("tailrace", argv[1:])
    while hasattr(command, "resolve_command"):
        # What a group leaves to its command; there is no public way to ask for it.
        rest = [*context._protected_args, *context.args]
        name, command, arguments = command.resolve_command(context, rest)
        context = command.make_context(name, arguments, parent=context)
    assert not context.args


@named(list(ALL.values()))
def test_what_is_mounted_is_there(service: ComposeService) -> None:
    volumes = load_compose()["volumes"]
    for source, target in service.mounts():
        assert target.startswith("/")
        if source.startswith("."):
            assert (FOLDER / source).exists(), source
        elif not source.startswith("/"):
            assert source in volumes


def test_the_example_of_variables_names_all_of_them() -> None:
    text = (FOLDER / ".env.example").read_text()
    named_there = set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE))
    assert variable_names() | {"COMPOSE_PROFILES"} == named_there


def test_the_queue_and_the_features_are_kept_as_our_processes_want_it() -> None:
    for name, fsync in (("redis-queue", "always"), ("redis-features", "everysec")):
        argv = ALL[name].argv
        options = dict(zip(argv[1::2], argv[2::2], strict=True))
        assert options["--appendonly"] == "yes" and options["--appendfsync"] == fsync
        assert options["--maxmemory-policy"] == "noeviction"
        limit_mb = int(options["--maxmemory"].removesuffix("mb"))
        memory = ALL[name].content["deploy"]["resources"]["limits"]["memory"]
        assert 2 * limit_mb <= memory_mb(memory)


def memory_mb(text: str) -> int:
    return int(text[:-1]) * {"m": 1, "g": 1024}[text[-1]]


def test_prometheus_asks_services_that_have_metrics() -> None:
    content = yaml.safe_load((FOLDER / "prometheus" / "prometheus.yml").read_text())
    asked = set()
    for job in content["scrape_configs"]:
        for group in job.get("dns_sd_configs", ()):
            asked |= {f"{name}:{group['port']}" for name in group["names"]}
        for group in job.get("static_configs", ()):
            asked |= set(group["targets"])
    assert {target for target in asked if target.endswith(":9100")} == {
        f"{service.name}:9100" for service in SERVED
    }
    hosts = {target.partition(":")[0] for target in asked} - {"localhost"}
    assert hosts <= ALL.keys()
    watching = ALL["prometheus"].networks | ALL["redis-exporter"].networks
    assert all(ALL[host].networks & watching for host in hosts)


@pytest.mark.parametrize("name", ["triton", "triton-gpu"])
def test_triton_joins_traces_as_it_does_beside_tailrace_up(name: str) -> None:
    arguments = trace_arguments("http://otel-collector:4318")

    assert [word for word in ALL[name].argv if word.startswith("--trace")] == arguments


def test_prometheus_keeps_what_the_budgets_of_objectives_are_counted_from() -> None:
    arguments = dict(word.partition("=")[::2] for word in ALL["prometheus"].argv)
    files = (ROOT / "examples" / "flights" / "pipelines").glob("*.yaml")
    windows = [yaml.safe_load(file.read_text())["slo"]["window_days"] for file in files]

    assert arguments["--storage.tsdb.retention.time"].endswith("d")
    assert int(arguments["--storage.tsdb.retention.time"][:-1]) > max(windows)


def test_images_are_built_from_files_that_the_build_is_given() -> None:
    kept = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    dockerfile = (FOLDER / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert sources == kept
    assert all((ROOT / source).exists() for source in sources)


def test_images_are_built_by_stages_that_are_there() -> None:
    for service in ALL.values():
        build = service.content.get("build")
        if build is None:
            assert not str(service.content["image"]).startswith("tailrace")
            continue
        file = Path(FOLDER / build["context"]) / build["dockerfile"]
        stages = re.findall(r"^FROM \S+ AS (\S+)$", file.resolve().read_text(), re.MULTILINE)
        assert build.get("target") is None or build["target"] in stages
    assert FILE.parent == FOLDER
