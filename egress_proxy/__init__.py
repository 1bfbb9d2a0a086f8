"""The way out of sandboxes: a forward proxy that holds each session to its policy (ADR 0008).

It imports nothing of Freehold's. `public_address` and `host_names` need the standard library alone
and are used outside of the proxy as well.
"""
