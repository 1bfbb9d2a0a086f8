"""The supervisor inside a sandbox, and the six tools (DESIGN 7).

The supervisor answers signed requests and keeps the journal; the tools run under another identity,
which sees neither. Nothing here is needed outside a sandbox.
"""
