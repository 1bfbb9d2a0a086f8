"""Sandboxes as child processes of the server, under the first isolation that works here."""

from freehold.adapters.subprocess_sandbox.rungs import Finding, Probe
from freehold.adapters.subprocess_sandbox.sandboxes import SubprocessSandboxes

__all__ = ["Finding", "Probe", "SubprocessSandboxes"]
