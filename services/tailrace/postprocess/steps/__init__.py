"""The built-in postprocess steps over columns.

Null in, null out. NaN passes through arithmetic; where it would have to become a label or a
rank, its row fails, as an answer made of it would look like any other.
"""
