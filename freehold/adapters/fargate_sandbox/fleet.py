"""What the stack says about its sandboxes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fleet:
    """What starting and calling tasks takes. All of it is names; none is a secret."""

    cluster: str
    """ARN."""
    subnets: tuple[str, ...]
    security_group: str
    port: int
    """Where each supervisor listens."""
    dispatch: str
    """ARN of the function in the sandboxes' network."""
    family_prefix: str
    """Begins the names of this installation's task-definition families."""
    idle_seconds: int
    egress: EgressFleet | None = None
    """None where no sandbox has a network."""


@dataclass(frozen=True, slots=True)
class EgressFleet:
    """What starting the egress proxy takes."""

    family: str
    """Of its task definition, which the stack registers."""
    subnets: tuple[str, ...]
    security_group: str
    port: int
    """Where sandboxes come in."""
    control_port: int
    refused_ranges: tuple[str, ...] = ()
    """The operator's."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What making slots takes besides."""

    image: str
    cpu: int
    """In 1/1024 of a processor."""
    memory_mib: int
    disk_gib: int
    """Ephemeral: the image, /tmp and what is installed outside the workspace."""
    architecture: str
    execution_role: str
    """ARN. It fetches the image and writes logs; what runs in the task never has it."""
    log_group: str
    region: str
    file_systems: tuple[str, ...]
    pool: int
    """Free slots to keep."""
    started: int
    """Of them, how many have a task already."""
    archive_days: int

    @property
    def platform(self) -> str:
        """What a program that is installed in a sandbox depends on."""
        return f"{self.image} {self.architecture}"
