"""Submissions: what gateway, dispatcher and courier share of them, and how Redis keeps them."""
