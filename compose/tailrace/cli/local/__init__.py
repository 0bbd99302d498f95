"""Starts, watches and stops real servers on this machine: Redis, Triton and the mesh's own.

The launcher `tailrace up` and the test fixtures both start their servers here.
"""
