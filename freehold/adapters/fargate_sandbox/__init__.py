"""`Sandboxes` as tasks of ECS on Fargate, each with files of its own (ADR 0009)."""

from freehold.adapters.fargate_sandbox.sandboxes import FargateSandboxes

__all__ = ["FargateSandboxes"]
