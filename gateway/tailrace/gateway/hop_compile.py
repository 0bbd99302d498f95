"""What all four services make of a pipeline, tried before the gateway gives it to requests.

A version that one hop refuses (a user function that is not there, say) must not replace the
version that is being served. The one place where the gateway knows the services.
"""

from __future__ import annotations

from tailrace.features.plan import compile_lookup
from tailrace.inference.compile import compile_for_inference
from tailrace.ingest.compile import compile_ingest
from tailrace.postprocess.compile import compile_postprocess
from tailrace.runtime.pipeline.load import Problem, SpecError
from tailrace.runtime.pipeline.plan import Pipeline

_COMPILERS = (compile_ingest, compile_lookup, compile_for_inference, compile_postprocess)


def compile_everywhere(pipeline: Pipeline) -> None:
    """Compiles a pipeline as each service does, user functions included.

    Raises:
        SpecError: what any of them would refuse; holds every problem.
    """
    problems: dict[tuple[str, str], Problem] = {}
    for compile_for_service in _COMPILERS:
        try:
            compile_for_service(pipeline)
        except SpecError as error:
            # Two services may refuse the same thing.
            problems.update({(found.path, found.found): found for found in error.problems})
    if problems:
        raise SpecError(pipeline.file, list(problems.values()))
