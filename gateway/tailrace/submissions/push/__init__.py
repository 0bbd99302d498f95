"""Pushing: from a result and a callback to a signed message at an address that may be called."""
