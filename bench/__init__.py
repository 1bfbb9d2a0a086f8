"""Benchmarks against the bounds of docs/benchmarks.md, over the public HTTP API alone.

Each is a program of its own, `python -m bench.turns` and so on, that starts a server as a child
process and measures from outside it.
"""
