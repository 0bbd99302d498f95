"""The baseline: a plain grpc.aio chain of a gateway and four services, one request per call.

What a good engineer would write in a day for this one model: uvloop, hiredis, one channel per
hop, packed floats, one MGET per request, a real Redis and a real Triton. No validation, no
budgets, no ledger, no metrics, no logs, no batching.
"""
