"""The built-in ingest steps over columns.

Null in, null out: a null stays null through every step, as NaN in an output of floats and
through the validity in any other; NaN counts as null where an output cannot hold it. `fill` is
the one step that ends a null.
"""
