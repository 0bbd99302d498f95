"""Signatures by Standard Webhooks 1.0.0: pure, for senders and for receivers."""
