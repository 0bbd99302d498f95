"""Which methods answer with predictions of Tailrace's."""

from __future__ import annotations

import importlib

from google.protobuf.descriptor import Descriptor

from tailrace.loadtest.hops.response_reader import ResponseReader
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions

_SERVICE = "tailrace.v1.PredictionService"
_METHODS = ("Predict", "PredictBatch", "PredictStream", "GetPrediction")
_READ = ("PredictResponse", "QualityReason", "Ledger", "LedgerEntry")


def reader_for(method: MethodSpec, options: LoadOptions) -> ResponseReader | None:
    """Returns what reads a method's answers; its tally is a `HopTally`, but for `options.reader`.

    Returns:
        None for methods that do not answer with predictions, for those whose server declares them
        otherwise than this package does, and where the options want no hops.
    """
    if options.reader:
        module, _, name = options.reader.partition(":")
        made: ResponseReader = getattr(importlib.import_module(module), name)()
        return made
    if not options.hops or method.service != _SERVICE or method.name not in _METHODS:
        return None
    # Those who call something else have no use for the stubs.
    from tailrace.loadtest.hops import prediction_reader
    from tailrace.v1 import prediction_service_pb2

    service = prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"]
    known = service.methods_by_name[method.name]
    if method.server_streaming != known.server_streaming:
        return None
    if not _reads_alike(known.output_type, method.descriptor.output_type):
        return None
    return prediction_reader.PredictionReader(method.name, options.timeout)


def _reads_alike(known: Descriptor, theirs: Descriptor | None) -> bool:
    """Tells if messages of a server's type can be read by this package's.

    Of what hops and quality are read from, no field may be missing.
    """
    unchecked: list[tuple[Descriptor, Descriptor | None]] = [(known, theirs)]
    checked = set()
    while unchecked:
        ours, other = unchecked.pop()
        if other is None or ours.full_name != other.full_name:
            return False
        if ours.full_name in checked:
            continue
        checked.add(ours.full_name)
        for field in ours.fields:
            same = other.fields_by_number.get(field.number)
            if same is None:
                if ours.name in _READ:
                    return False
            elif (field.name, field.type, field.is_repeated) != (
                same.name,
                same.type,
                same.is_repeated,
            ):
                return False
            elif field.message_type is not None:
                unchecked.append((field.message_type, same.message_type))
    return True
