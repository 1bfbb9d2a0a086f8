"""What is installed in the sandbox of a session before its first call (BEHAVIOUR 4)."""

from __future__ import annotations

from freehold.toolset.packages import MANAGERS, Packages, in_order
from freehold.wire.environments import CloudConfig, Environment


def packages_of(environment: Environment | None) -> Packages:
    """An environment that is gone has none: what it asked for is not known any more."""
    if environment is None or not isinstance(environment.config, CloudConfig):
        return {}
    asked = environment.config.packages
    return in_order({manager: getattr(asked, manager) for manager in MANAGERS})
