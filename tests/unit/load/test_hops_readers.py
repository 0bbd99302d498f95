"""Which methods are read: those that answer as this package knows it, and no others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from tailrace.loadtest.hops.hop_tally import HopTally
from tailrace.loadtest.hops.readers import reader_for
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.v1 import prediction_service_pb2 as pb
from tests.support.load_results import OPTIONS, prediction

SERVICE = "tailrace.v1.PredictionService"


def _files() -> FileDescriptorSet:
    files, seen = FileDescriptorSet(), set[str]()

    def add(file: FileDescriptor) -> None:
        if file.name not in seen:
            seen.add(file.name)
            for needed in file.dependencies:
                add(needed)
            file.CopyToProto(files.file.add())

    add(pb.DESCRIPTOR)
    return files


def _spec(
    method: str, files: FileDescriptorSet | None = None, service: str = SERVICE
) -> MethodSpec:
    return MethodSpec(service, method, (files or _files()).SerializeToString())


def _file(files: FileDescriptorSet, name: str) -> FileDescriptorProto:
    return next(file for file in files.file if file.name == f"tailrace/v1/{name}.proto")


@pytest.mark.parametrize("method", ["Predict", "PredictBatch", "PredictStream", "GetPrediction"])
def test_methods_that_answer_with_predictions_are_read(method: str) -> None:
    reader = reader_for(_spec(method), OPTIONS)

    assert reader is not None
    assert isinstance(reader.take(), HopTally)


@pytest.mark.parametrize("method", ["SubmitPrediction", "ListPipelines", "WatchPredictions"])
def test_other_methods_are_not_read(method: str) -> None:
    assert reader_for(_spec(method), OPTIONS) is None


def test_nothing_is_read_where_no_hops_are_wanted() -> None:
    assert reader_for(_spec("Predict"), replace(OPTIONS, hops=False)) is None


def test_the_same_method_of_another_service_is_not_read() -> None:
    files = _files()
    _file(files, "prediction_service").service[0].name = "Forecasts"

    assert reader_for(_spec("Predict", files, "tailrace.v1.Forecasts"), OPTIONS) is None


def test_a_service_that_answers_with_another_message_is_not_read() -> None:
    files = _files()
    method = _file(files, "prediction_service").service[0].method[0]
    assert method.name == "Predict"
    method.output_type = ".tailrace.v1.GetPredictionResponse"

    assert reader_for(_spec("Predict", files), OPTIONS) is None


def test_a_service_that_streams_its_answers_is_not_read() -> None:
    files = _files()
    _file(files, "prediction_service").service[0].method[0].server_streaming = True

    assert reader_for(_spec("Predict", files), OPTIONS) is None


def test_a_ledger_with_other_fields_is_not_read() -> None:
    files = _files()
    ledger = next(one for one in _file(files, "ledger").message_type if one.name == "Ledger")
    ledger.field[1].name = "total_us"

    assert reader_for(_spec("Predict", files), OPTIONS) is None


def test_a_ledger_that_lacks_a_field_is_not_read() -> None:
    files = _files()
    ledger = next(one for one in _file(files, "ledger").message_type if one.name == "Ledger")
    del ledger.field[1]

    assert reader_for(_spec("Predict", files), OPTIONS) is None


def test_a_newer_server_is_read() -> None:
    files = _files()
    messages = _file(files, "prediction_service").message_type
    response = next(one for one in messages if one.name == "PredictResponse")
    added = response.field.add(name="explanation", number=100, label=1, type=9)
    assert added.name == "explanation"
    reader = reader_for(_spec("Predict", files), OPTIONS)

    assert reader is not None
    reader.read(prediction().SerializeToString(), 10_000_000)
    tally = reader.take()
    assert isinstance(tally, HopTally)
    assert tally.good == 1
