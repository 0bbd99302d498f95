"""The feature registry as a service: what files say, who uses what, and what is stored."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest_asyncio
import yaml
from google.protobuf import descriptor_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.app import build
from tailrace.features.registry.servicer import SERVICE_NAME
from tailrace.runtime.config import FeaturesSettings
from tailrace.v1 import feature_registry_service_pb2 as pb
from tailrace.v1 import feature_registry_service_pb2_grpc as stubs
from tailrace.v1 import feature_service_pb2
from tailrace.v1.tensor_pb2 import Value
from tests.support.feature_world import PREFIX, FeatureWorld, MakeWorld
from tests.support.hop_server import refusal, serve_hop
from tests.support.redis_fixtures import StartRedis
from tests.support.registry_world import ITEM, RegistryService, click, registry_world, write_view
from tests.support.waiting import wait_for

FRESH = feature_service_pb2.FEATURE_STATE_FRESH
STALE = feature_service_pb2.FEATURE_STATE_STALE
MISSING = feature_service_pb2.FEATURE_STATE_MISSING
HOUR_US = 3_600_000_000
SECOND_US = 1_000_000


class Asked:
    """A service with views, and its registry's stub."""

    def __init__(self, world: FeatureWorld, channel: grpc.aio.Channel) -> None:
        self.world = world
        self.stub = stubs.FeatureRegistryServiceStub(channel)

    async def items(self, *numbers: int, at_us: int | None = None) -> list[pb.EntityFeatures]:
        entities = [pb.EntityKeys(keys={"item_id": Value(int64_value=n)}) for n in numbers]
        request = pb.GetEntityRequest(view="item", entities=entities)
        if at_us is not None:
            request.at.FromMicroseconds(at_us)
        answer = await self.stub.GetEntity(request, timeout=10)
        return list(answer.entities)


@pytest_asyncio.fixture
async def asked(
    make_world: MakeWorld, tmp_path: Path, fresh_redis: LocalRedis
) -> AsyncIterator[Asked]:
    world = registry_world(make_world, tmp_path, fresh_redis)
    settings = FeaturesSettings(
        feature_redis_url=world.url,
        feature_key_prefix=PREFIX,
        pipelines_dir=world.pipelines_dir,
    )
    async with serve_hop(settings, build(settings)) as channel:
        yield Asked(world, channel)


@pytest_asyncio.fixture
async def service(
    make_world: MakeWorld, tmp_path: Path, fresh_redis: LocalRedis
) -> AsyncIterator[RegistryService]:
    """One that is a process of its own."""
    running = RegistryService(registry_world(make_world, tmp_path, fresh_redis), tmp_path)
    yield running
    await running.stop()


async def load_items(world: FeatureWorld, now_us: int) -> None:
    table = {
        "item_id": [1, 2, 3],
        "price": [1.5, 2.5, None],
        "colour": ["green", "red", None],
        "listed_at": np.array([0, 1, 2], "datetime64[us]"),
        "embedding": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]],
        "label": ["a", "a", "b"],
        "seen": [now_us - SECOND_US, now_us - HOUR_US * 3 // 2, now_us - 3 * HOUR_US],
    }
    await world.load("item", table, timestamp_column="seen")


async def test_every_call_is_reachable_by_reflection_and_health_names_the_service(
    service: RegistryService,
) -> None:
    with grpc.insecure_channel(service.process.target) as channel:
        reflect: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE_NAME)
        answer = next(iter(reflect.ServerReflectionInfo(iter([request]), timeout=5)))
        health: Any = health_pb2_grpc.HealthStub(channel)
        check = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
        wait_for(
            lambda: health.Check(check, timeout=5).status == health_pb2.HealthCheckResponse.SERVING
        )
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in answer.file_descriptor_response.file_descriptor_proto
    ]
    described = {each.name: each for file in files for each in file.service}
    methods = {method.name for method in described["FeatureRegistryService"].method}
    declared = pb.DESCRIPTOR.services_by_name["FeatureRegistryService"].methods_by_name
    assert methods == set(declared)
    for name in methods:
        # With an empty request each is answered, or refused by its own words.
        call = getattr(service.stub, name)
        try:
            await call(getattr(pb, f"{name}Request")(), timeout=5)
        except grpc.aio.AioRpcError as error:
            assert error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)


async def test_views_are_listed_filtered_and_paged(asked: Asked) -> None:
    stub = asked.stub

    async def names(**filters: Any) -> list[str]:
        answer = await stub.ListViews(pb.ListViewsRequest(**filters), timeout=5)
        return [view.name for view in answer.views]

    assert await names() == ["clicks", "item", "unused"]
    assert await names(kind="windowed") == ["clicks"]
    assert await names(entity="item") == ["clicks", "item"]
    assert await names(owner="design") == ["item"]
    assert await names(tag="money") == ["item"]
    assert await names(pipeline="shop") == ["clicks", "item"]
    assert await names(pipeline="shop", kind="static") == ["item"]
    unknown = stub.ListViews(pb.ListViewsRequest(pipeline="shp"), timeout=5)
    assert await refusal(unknown) == ("NOT_FOUND", "PIPELINE_NOT_FOUND", "pipeline")
    first = await stub.ListViews(pb.ListViewsRequest(page_size=2), timeout=5)
    assert [view.name for view in first.views] == ["clicks", "item"]
    assert (first.total, first.next_page_token) == (3, "item")
    assert await names(page_size=2, page_token=first.next_page_token) == ["unused"]
    item = first.views[1]
    assert (item.kind, item.entity, item.owner, item.features) == ("static", "item", "catalogue", 5)
    assert (list(item.keys), list(item.tags)) == (["item_id"], ["shop", "stable"])
    assert list(item.pipelines) == ["p", "shop"]
    assert not item.HasField("stored")
    assert await refusal(stub.ListViews(pb.ListViewsRequest(kind="streamed"), timeout=5)) == (
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        "kind",
    )


async def test_a_list_tells_what_is_stored_where_asked(asked: Asked) -> None:
    now_us = time.time_ns() // 1000
    await load_items(asked.world, now_us)
    request = pb.ListViewsRequest(include_stored=True)
    answer = await asked.stub.ListViews(request, timeout=5)
    stored = {view.name: view.stored for view in answer.views}
    assert not answer.stored_problem
    assert stored["item"].loaded and stored["item"].rows == 3 and stored["item"].generation == 1
    assert SECOND_US <= stored["item"].age_us < HOUR_US and not stored["item"].stale
    assert not stored["clicks"].loaded and not stored["unused"].loaded


async def test_a_view_tells_everything_of_its_file(asked: Asked) -> None:
    answer = await asked.stub.GetView(pb.GetViewRequest(view="item"), timeout=5)
    view = answer.view
    assert (view.name, view.kind, view.description) == ("item", "static", "What the shop sells.")
    assert Path(view.file).name == "item.yaml" and not view.file_problems
    assert (view.max_age_us, view.ttl_us) == (HOUR_US, 2 * HOUR_US)
    assert (view.on_missing, view.on_stale) == ("flag", "default")
    assert [(key.name, key.type) for key in view.keys] == [("item_id", "int64")]
    assert view.source.type == "file"
    assert dict(view.source.parts) == {"path": "items.parquet", "timestamp": "seen"}
    price, colour, listed_at, embedding, label = view.features
    assert (price.type, price.unit, price.owner) == ("float64", "EUR", "catalogue")
    assert price.default_value.double_value == 0.0 and price.default_value.HasField("double_value")
    assert (list(colour.values), colour.owner) == (["red", "green"], "design")
    assert not colour.HasField("default_value")
    assert listed_at.description == "When it was first offered."
    assert embedding.length == 3
    assert label.default_value.string_value == "none"
    assert not answer.HasField("event_type")


async def test_a_windowed_view_tells_its_windows_and_its_event_type(asked: Asked) -> None:
    answer = await asked.stub.GetView(pb.GetViewRequest(view="clicks"), timeout=5)
    clicks, mean, today = answer.view.features
    assert clicks.aggregate.function == "count"
    assert clicks.aggregate.window_us == HOUR_US
    (condition,) = clicks.aggregate.where
    assert (condition.field, condition.test) == ("x", "at_least")
    assert condition.values[0].double_value == 0.0
    assert (mean.aggregate.of, mean.aggregate.tile_us) == ("x", 60 * SECOND_US)
    assert not today.aggregate.HasField("window_us")
    assert today.aggregate.midnight_timezone == "America/New_York"
    assert today.aggregate.tile_us == 15 * 60 * SECOND_US
    assert answer.event_type.name == "click" and list(answer.event_type.views) == ["clicks"]
    listed = await asked.stub.ListEventTypes(pb.ListEventTypesRequest(), timeout=5)
    assert list(listed.event_types) == [answer.event_type]
    fields = {field.name: field for field in answer.event_type.fields}
    assert (fields["id"].type, fields["id"].max_length) == ("string", 40)
    assert (fields["x"].unit, fields["x"].max_length) == ("s", 0)


async def test_consumers_tell_names_versions_and_what_is_read(asked: Asked) -> None:
    answer = await asked.stub.GetView(pb.GetViewRequest(view="item"), timeout=5)
    p, shop = answer.consumers
    assert (p.pipeline, p.name, shop.pipeline, shop.name) == ("p", "item", "shop", "good")
    assert shop.pipeline_version.startswith("3-")
    assert dict(shop.keys) == {"item_id": "request.item_item_id"}
    assert list(shop.model_reads) == ["price", "missing"]
    assert list(shop.postprocess_reads) == ["label"]
    assert list(shop.unread) == ["colour", "listed_at", "embedding"]
    assert list(p.model_reads) == [] and len(p.unread) == 5
    assert not p.earlier_definition
    unused = await asked.stub.GetView(pb.GetViewRequest(view="unused"), timeout=5)
    assert not unused.consumers


async def test_an_unknown_view_is_not_found_with_the_nearest_name(asked: Asked) -> None:
    for call in (
        asked.stub.GetView(pb.GetViewRequest(view="itm"), timeout=5),
        asked.stub.GetViewStatistics(pb.GetViewStatisticsRequest(view="itm"), timeout=5),
        asked.stub.GetEntity(pb.GetEntityRequest(view="itm"), timeout=5),
    ):
        try:
            await call
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.NOT_FOUND
            assert error.details() == "no feature view 'itm'; did you mean 'item'?"
        else:
            raise AssertionError("it was found")
    call = asked.stub.GetView(pb.GetViewRequest(view="itm"), timeout=5)
    assert await refusal(call) == ("NOT_FOUND", "VIEW_NOT_FOUND", "view")


async def test_new_and_broken_files_are_followed(asked: Asked) -> None:
    write_view(asked.world, {**ITEM, "view": "brand_new"})
    # An unknown view makes the service look again, however long it would have waited.
    answer = await asked.stub.GetView(pb.GetViewRequest(view="brand_new"), timeout=5)
    assert answer.view.name == "brand_new"
    write_view(asked.world, {**ITEM, "max_age": "soon"})
    write_view(asked.world, {**ITEM, "view": "never", "features": []})
    call = asked.stub.GetView(pb.GetViewRequest(view="never"), timeout=5)
    assert (await refusal(call))[1] == "VIEW_NOT_FOUND"
    listed = await asked.stub.ListViews(pb.ListViewsRequest(), timeout=5)
    refused = {Path(each.file).name: each.problems for each in listed.refused_files}
    assert {"item.yaml", "never.yaml"} <= set(refused)
    assert any("max_age" in problem and "line" in problem for problem in refused["item.yaml"])
    # The pipelines go on with what the file said before, and so does the registry.
    kept = await asked.stub.GetView(pb.GetViewRequest(view="item"), timeout=5)
    assert kept.view.max_age_us == HOUR_US and not kept.view.file
    assert any("max_age" in problem for problem in kept.view.file_problems)
    assert [consumer.pipeline for consumer in kept.consumers] == ["p", "shop"]


async def test_a_search_ranks_names_before_descriptions(asked: Asked) -> None:
    async def found(query: str) -> list[tuple[str, str]]:
        answer = await asked.stub.SearchFeatures(pb.SearchFeaturesRequest(query=query), timeout=5)
        return [(hit.view, hit.feature) for hit in answer.hits]

    assert await found("price") == [("item", "price")]
    assert (await found("clicks"))[:2] == [("clicks", ""), ("clicks", "clicks_1h")]
    assert await found("delay") == [("clicks", "mean_delay_1h")]
    assert await found("EUR") == [("item", "price")]
    assert await found("design") == [("item", "colour")]
    assert await found("offered") == [("item", "listed_at")]
    assert await found("item price") == [("item", "price")]
    assert await found("looked") == [("clicks", "")]
    answer = await asked.stub.SearchFeatures(pb.SearchFeaturesRequest(query="pirce"), timeout=5)
    assert not answer.hits and list(answer.suggestions) == ["price"]
    one = pb.SearchFeaturesRequest(query="item", max_hits=1)
    answer = await asked.stub.SearchFeatures(one, timeout=5)
    assert [(hit.view, hit.feature) for hit in answer.hits] == [("item", "")]
    assert answer.further >= 1 and list(answer.hits[0].matched) == ["name"]
    for query in ("", " _ ", "x" * 201):
        call = asked.stub.SearchFeatures(pb.SearchFeaturesRequest(query=query), timeout=5)
        assert await refusal(call) == ("INVALID_ARGUMENT", "INVALID_FIELD", "query")


async def test_statistics_of_a_load_are_told(asked: Asked) -> None:
    request = pb.GetViewStatisticsRequest(view="item")
    before = await asked.stub.GetViewStatistics(request, timeout=5)
    assert not before.stored.loaded and not before.HasField("full_load")
    await load_items(asked.world, time.time_ns() // 1000)
    answer = await asked.stub.GetViewStatistics(request, timeout=5)
    assert (answer.stored.rows, answer.stored.timestamp_column) == (3, "seen")
    assert answer.full_load.rows == 3 and not answer.HasField("last_increment")
    features = {each.name: each for each in answer.full_load.features}
    assert list(features) == ["price", "colour", "listed_at", "embedding", "label"]
    price = features["price"]
    assert (price.nulls, price.min, price.max, price.mean) == (1, 1.5, 2.5, 2.0)
    assert abs(price.null_rate - 1 / 3) < 1e-12
    assert [each.share for each in price.quantiles] == sorted(
        each.share for each in price.quantiles
    )
    assert price.quantiles[0].value == 1.5 and price.quantiles[-1].value == 2.5
    assert [(each.value, each.count) for each in features["label"].frequent] == [("a", 2), ("b", 1)]
    assert [each.type for each in features.values()] == [
        "float64",
        "category",
        "timestamp",
        "float32",
        "string",
    ]
    assert features["colour"].distinct == 2 and not features["colour"].HasField("mean")


async def test_old_rows_make_a_view_stale(asked: Asked) -> None:
    now_us = time.time_ns() // 1000
    await load_items(asked.world, now_us - 5 * HOUR_US)
    request = pb.GetViewStatisticsRequest(view="item")
    answer = await asked.stub.GetViewStatistics(request, timeout=5)
    assert answer.stored.stale and answer.stored.age_us > 5 * HOUR_US
    assert answer.max_age_us == HOUR_US


async def test_statistics_of_a_windowed_view_are_those_of_a_sample(asked: Asked) -> None:
    now_us = time.time_ns() // 1000
    clicks = {f"item-{number}": now_us - SECOND_US * (number + 1) for number in range(40)}
    await click(asked.world, clicks)
    await click(asked.world, {"stale": now_us - HOUR_US * 3 // 4, "gone}": now_us - 50 * HOUR_US})
    request = pb.GetViewStatisticsRequest(view="clicks")
    answer = await asked.stub.GetViewStatistics(request, timeout=10)
    sample = answer.sample
    assert (sample.entities, sample.complete) == (42, True)
    assert (sample.fresh, sample.stale, sample.missing, sample.corrupt) == (40, 1, 1, 0)
    assert sample.newest_event.ToMicroseconds() == now_us - SECOND_US
    assert answer.stored.generation == 1 and not answer.stored.HasField("rows")
    assert SECOND_US <= answer.stored.age_us < HOUR_US // 2 and not answer.stored.stale
    features = {each.name: each for each in sample.features}
    assert (features["clicks_1h"].rows, features["clicks_1h"].mean) == (41, 1.0)
    assert (features["mean_delay_1h"].min, features["mean_delay_1h"].max) == (2.0, 2.0)
    request.sample_entities = 10
    part = (await asked.stub.GetViewStatistics(request, timeout=10)).sample
    assert (part.entities, part.complete) == (10, False)
    request.sample_entities = 100
    request.at.FromMicroseconds(now_us - 10 * HOUR_US)
    past = (await asked.stub.GetViewStatistics(request, timeout=10)).sample
    # Of `gone}` all is kept; of the others nothing is from so long before their newest events.
    assert (past.fresh, past.stale, past.missing, past.not_kept) == (0, 0, 1, 41)
    assert past.at == request.at and past.newest_event.ToMicroseconds() == now_us - SECOND_US
    request.at.FromMicroseconds(now_us - 50 * HOUR_US)
    old = (await asked.stub.GetViewStatistics(request, timeout=10)).sample
    assert (old.fresh, old.not_kept) == (1, 41)
    assert {each.name: each.type for each in old.features}["clicks_1h"] == "int64"
    request.at.seconds = 10**12
    assert await refusal(asked.stub.GetViewStatistics(request, timeout=10)) == (
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        "at",
    )


async def test_an_entity_is_shown_with_state_age_and_presence(asked: Asked) -> None:
    now_us = time.time_ns() // 1000
    await load_items(asked.world, now_us)
    fresh, stale, expired, unknown = await asked.items(1, 2, 3, 4, at_us=now_us)
    assert [each.state for each in (fresh, stale, expired, unknown)] == [
        FRESH,
        STALE,
        MISSING,
        MISSING,
    ]
    assert (fresh.age_us, stale.age_us) == (SECOND_US, HOUR_US * 3 // 2)
    assert not expired.HasField("age_us") and not unknown.HasField("as_of")
    assert fresh.as_of.ToMicroseconds() == now_us - SECOND_US
    assert fresh.keys["item_id"].int64_value == 1
    values = {each.name: each.value for each in fresh.features}
    assert values["price"].double_value == 1.5
    assert values["colour"].string_value == "green"
    assert values["listed_at"].timestamp_value == Timestamp()
    assert np.frombuffer(values["embedding"].tensor_value.data, "<f4").tolist() == [1.0, 2.0, 3.0]
    assert values["label"].string_value == "a"
    assert all(each.present for each in fresh.features)
    # Defaults stand in for what is missing; a category without one has no value.
    missing = {each.name: each for each in unknown.features}
    assert missing["label"].value.string_value == "none" and not missing["label"].present
    assert missing["colour"].value.WhichOneof("kind") is None
    (later,) = await asked.items(1, at_us=now_us + HOUR_US)
    assert later.state == STALE


async def test_an_entity_of_a_windowed_view_is_shown_at_an_instant(asked: Asked) -> None:
    now_us = time.time_ns() // 1000
    await click(asked.world, {"a": now_us - 10 * SECOND_US})
    request = pb.GetEntityRequest(view="clicks")
    request.entities.add(keys={"id": Value(string_value="a")})
    answer = await asked.stub.GetEntity(request, timeout=5)
    assert answer.loaded
    assert answer.entities[0].state == FRESH
    assert answer.entities[0].features[0].value.int64_value == 1
    request.at.FromMicroseconds(now_us - HOUR_US // 2)
    answer = await asked.stub.GetEntity(request, timeout=5)
    assert answer.entities[0].state == MISSING
    assert answer.at == request.at
    # So long before the newest event that no window of that time, or of that day, is still kept.
    request.at.FromMicroseconds(now_us - 48 * HOUR_US)
    answer = await asked.stub.GetEntity(request, timeout=5)
    assert answer.entities[0].state == feature_service_pb2.FEATURE_STATE_NOT_KEPT
    assert not answer.entities[0].HasField("age_us")
    assert not any(each.present for each in answer.entities[0].features)


async def test_a_corrupt_row_is_told_beside_sound_ones(asked: Asked) -> None:
    await load_items(asked.world, time.time_ns() // 1000)
    with asked.world.redis() as client:
        client.set(f"{asked.world.names.generation('item', 1)}2", b"rubbish")
    sound, corrupt = await asked.items(1, 2)
    assert sound.state == FRESH and not sound.problem
    assert corrupt.state == feature_service_pb2.FEATURE_STATE_UNSPECIFIED
    assert "cannot be read" in corrupt.problem and not corrupt.features


async def test_keys_that_do_not_fit_are_refused(asked: Asked) -> None:
    async def refused(*entities: pb.EntityKeys) -> tuple[str, str, str]:
        request = pb.GetEntityRequest(view="item", entities=entities)
        return await refusal(asked.stub.GetEntity(request, timeout=5))

    number = Value(int64_value=1)
    good = pb.EntityKeys(keys={"item_id": number})
    invalid = ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert await refused() == (*invalid, "entities")
    assert await refused(good, pb.EntityKeys(keys={"item": number})) == (
        *invalid,
        "entities[1].keys",
    )
    assert await refused(pb.EntityKeys()) == (*invalid, "entities[0].keys.item_id")
    text = pb.EntityKeys(keys={"item_id": Value(string_value="1")})
    assert await refused(good, text) == (*invalid, "entities[1].keys.item_id")
    assert await refused(pb.EntityKeys(keys={"item_id": Value()})) == (
        *invalid,
        "entities[0].keys.item_id",
    )
    assert await refused(*[good] * 101) == ("INVALID_ARGUMENT", "LIMIT_EXCEEDED", "entities")


async def test_another_definition_is_told_and_no_value_is_shown(asked: Asked) -> None:
    await load_items(asked.world, time.time_ns() // 1000)
    features = [{**ITEM["features"][0], "type": "float32"}, *ITEM["features"][1:]]  # type: ignore[index]
    file = write_view(asked.world, {**ITEM, "features": features})
    assert yaml.safe_load(file.read_text())["features"][0]["type"] == "float32"
    # Asking for what nobody has makes the service look at the files.
    await refusal(asked.stub.GetView(pb.GetViewRequest(view="nobody"), timeout=5))
    request = pb.GetViewStatisticsRequest(view="item")
    answer = await asked.stub.GetViewStatistics(request, timeout=5)
    assert answer.stored.schema_changed and answer.notes
    assert {each.type for each in answer.full_load.features} == {""}
    entities = [pb.EntityKeys(keys={"item_id": Value(int64_value=1)})]
    call = asked.stub.GetEntity(pb.GetEntityRequest(view="item", entities=entities), timeout=5)
    assert (await refusal(call))[:2] == ("DATA_LOSS", "FEATURES_CORRUPT")


async def test_files_are_told_while_redis_is_down(
    make_world: MakeWorld, tmp_path: Path, start_redis: StartRedis
) -> None:
    server = start_redis()
    world = registry_world(make_world, tmp_path, server)
    service = RegistryService(world, tmp_path)
    stub = service.stub
    try:
        await load_items(world, time.time_ns() // 1000)
        server.kill()
        listed = await stub.ListViews(pb.ListViewsRequest(include_stored=True), timeout=10)
        assert [view.name for view in listed.views] == ["clicks", "item", "unused"]
        assert listed.stored_problem and not listed.views[0].HasField("stored")
        assert (await stub.GetView(pb.GetViewRequest(view="item"), timeout=5)).consumers
        search = pb.SearchFeaturesRequest(query="price")
        assert (await stub.SearchFeatures(search, timeout=5)).hits
        assert (await stub.ListEventTypes(pb.ListEventTypesRequest(), timeout=5)).total == 1
        unavailable = ("UNAVAILABLE", "FEATURE_STORE_UNAVAILABLE")
        for view in ("item", "clicks"):
            statistics = pb.GetViewStatisticsRequest(view=view)
            found = await refusal(stub.GetViewStatistics(statistics, timeout=10))
            assert found[:2] == unavailable
        entities = [pb.EntityKeys(keys={"item_id": Value(int64_value=1)})]
        call = stub.GetEntity(pb.GetEntityRequest(view="item", entities=entities), timeout=10)
        assert (await refusal(call))[:2] == unavailable
    finally:
        await service.stop()


async def test_a_redis_that_hangs_is_unavailable_and_found_again(
    make_world: MakeWorld, tmp_path: Path, start_redis: StartRedis
) -> None:
    server = start_redis()
    world = registry_world(make_world, tmp_path, server)
    service = RegistryService(world, tmp_path)
    request = pb.GetViewStatisticsRequest(view="item")
    entities = [pb.EntityKeys(keys={"item_id": Value(int64_value=1)})]
    one = pb.GetEntityRequest(view="item", entities=entities)
    try:
        await load_items(world, time.time_ns() // 1000)
        with world.redis() as client:
            pid = int(client.info("server")["process_id"])
        await service.stub.GetEntity(one, timeout=5)
        os.kill(pid, signal.SIGSTOP)
        try:
            for call in (
                service.stub.GetViewStatistics(request, timeout=30),
                service.stub.GetEntity(one, timeout=30),
            ):
                assert (await refusal(call))[:2] == ("UNAVAILABLE", "FEATURE_STORE_UNAVAILABLE")
            listed = await service.stub.ListViews(
                pb.ListViewsRequest(include_stored=True), timeout=30
            )
            assert listed.stored_problem and listed.total == 3
        finally:
            os.kill(pid, signal.SIGCONT)
        answer = await service.stub.GetViewStatistics(request, timeout=10)
        assert answer.stored.rows == 3
        assert (await service.stub.GetEntity(one, timeout=10)).entities[0].state == FRESH
    finally:
        await service.stop()


async def test_a_pipeline_that_stays_behind_uses_the_earlier_definition(asked: Asked) -> None:
    pipeline = asked.world.pipelines_dir / "shop.yaml"
    pipeline.write_text(pipeline.read_text() + "unknown: 1\n")
    write_view(asked.world, {**ITEM, "max_age": "45m"})
    await refusal(asked.stub.GetView(pb.GetViewRequest(view="nobody"), timeout=5))
    answer = await asked.stub.GetView(pb.GetViewRequest(view="item"), timeout=5)
    assert answer.view.max_age_us == HOUR_US * 3 // 4
    earlier = {consumer.pipeline: consumer.earlier_definition for consumer in answer.consumers}
    assert earlier == {"p": False, "shop": True}


async def test_of_a_feast_view_it_is_told_what_is_not_known(asked: Asked) -> None:
    source = {"type": "feast", "project": "rides", "feature_view": "hourly", "int32_keys": ["id"]}
    features = [{"name": "rate", "type": "float64", "default": 0.5}]
    keys = [{"name": "id", "type": "int64"}]
    write_view(
        asked.world,
        {
            "view": "driver",
            "entity": "driver",
            "keys": keys,
            "features": features,
            "source": source,
        },
    )
    described = await asked.stub.GetView(pb.GetViewRequest(view="driver"), timeout=5)
    assert described.view.kind == "feast"
    assert dict(described.view.source.parts) == {
        "project": "rides",
        "feature_view": "hourly",
        "int32_keys": "id",
        "key_version": "3",
    }
    request = pb.GetViewStatisticsRequest(view="driver")
    answer = await asked.stub.GetViewStatistics(request, timeout=5)
    assert not answer.HasField("stored") and "Feast writes this view" in answer.notes[0]
    listed = await asked.stub.ListViews(
        pb.ListViewsRequest(kind="feast", include_stored=True), timeout=5
    )
    assert [view.HasField("stored") for view in listed.views] == [False]
    entities = [pb.EntityKeys(keys={"id": Value(int64_value=7)})]
    found = await asked.stub.GetEntity(
        pb.GetEntityRequest(view="driver", entities=entities), timeout=5
    )
    assert found.loaded and found.entities[0].state == MISSING
    (rate,) = found.entities[0].features
    assert (rate.value.double_value, rate.present) == (0.5, False)
