"""Spans: who is traced, how contexts travel, and how finished spans are told.

Nothing here opens a span and hopes that it is closed. What is traced notes two instants, as the
ledger does anyway, and tells the finished span once. So a call that is cancelled leaves none open,
and a request that was not in the sample can still be told afterwards.
"""
