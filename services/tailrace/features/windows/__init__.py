"""Windowed views: what events leave in the store, and what windows make of it."""
