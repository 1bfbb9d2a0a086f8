"""What functions are told of sandboxes on Fargate, and what makes and reaches them."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from freehold.settings_aws.environment import Environment, Name

SANDBOX_PORT = 8080
"""Where a supervisor listens in its task."""
EGRESS_PORT, EGRESS_CONTROL_PORT = 3128, 3129
"""Where the egress proxy listens to sandboxes, and to `dispatch`."""
TOOLS_UID = 10001
"""The user that tools are in a sandbox, to whom all its files belong."""


class EgressEnvironment(Environment):
    """What starting the egress proxy takes. The first three are there or none is."""

    sandbox_egress_family: Name | None = None
    """Of its task definition."""
    sandbox_egress_subnets: Name | None = None
    """Their ids, with commas in between."""
    sandbox_egress_security_group: Name | None = None
    package_hosts: str = ""
    """Hosts of package managers besides the public ones, with commas in between."""
    refused_ranges: str = ""
    """Networks that no sandbox reaches, besides all that are not public."""

    @model_validator(mode="after")
    def _whole_proxy(self) -> Self:
        names = ("family", "subnets", "security_group")
        given = [getattr(self, f"sandbox_egress_{name}") for name in names]
        if any(given) and not all(given):
            raise ValueError("the egress proxy lacks its family, its subnets or its group")
        return self


class FleetEnvironment(EgressEnvironment):
    """What starting and calling sandboxes takes. Each of its own is there or none is."""

    sandbox_cluster_arn: Name | None = None
    sandbox_subnets: Name | None = None
    """Their ids, with commas in between."""
    sandbox_security_group: Name | None = None
    sandbox_dispatch_arn: Name | None = None
    sandbox_bucket_name: Name | None = None
    """For what is too large for a function, and for archives."""
    sandbox_family_prefix: Name | None = None
    sandbox_idle_minutes: PositiveInt | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        fields = FleetEnvironment.model_fields.keys() - EgressEnvironment.model_fields.keys()
        given = {name: getattr(self, name) for name in fields}
        missing = sorted(name for name, value in given.items() if value is None)
        if 0 < len(missing) < len(given):
            raise ValueError(f"sandboxes lack {', '.join(missing)}")
        return self


class SlotsEnvironment(FleetEnvironment):
    """What `slots` needs, which makes what sandboxes are made of."""

    table_name: Name
    key_arn: Name
    sandbox_cluster_arn: Name
    sandbox_image: Name
    sandbox_cpu: PositiveInt
    sandbox_memory_mib: PositiveInt
    sandbox_disk_gib: PositiveInt
    sandbox_architecture: Name
    sandbox_execution_role_arn: Name
    sandbox_log_group: Name
    sandbox_region: Name
    sandbox_file_systems: Name
    """Their ids, with commas in between."""
    sandbox_workspaces_arns: Name
    """Of the functions that mount them, in the same order."""
    sandbox_pool: PositiveInt
    sandbox_started: NonNegativeInt
    sandbox_archive_days: PositiveInt


class DispatchEnvironment(Environment):
    """What `dispatch` needs: where supervisors are."""

    sandbox_bucket_name: Name
    sandbox_network: IPv4Network
    sandbox_egress_network: IPv4Network | None = None


class WorkspacesEnvironment(Environment):
    """What `workspaces` needs: where the file system is."""

    sandbox_bucket_name: Name
    mount_path: Name
