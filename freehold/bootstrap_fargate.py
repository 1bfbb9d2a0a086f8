"""Builds what sandboxes on AWS are made of, for the functions that have to do with them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from freehold.adapters.aws_clients import LateClient, client
from freehold.adapters.dynamodb import DynamoRecords
from freehold.adapters.egress.policies import egress_policy
from freehold.adapters.egress.registries import public_registries
from freehold.adapters.fargate_sandbox import FargateSandboxes
from freehold.adapters.fargate_sandbox.access_points import AccessPoints
from freehold.adapters.fargate_sandbox.archives import Archives
from freehold.adapters.fargate_sandbox.boots import Boots
from freehold.adapters.fargate_sandbox.dispatch import Dispatch
from freehold.adapters.fargate_sandbox.egress import Egress, Grants
from freehold.adapters.fargate_sandbox.egress_proxy import Proxies, proxy_boots
from freehold.adapters.fargate_sandbox.fleet import Blueprint, EgressFleet, Fleet
from freehold.adapters.fargate_sandbox.inventory import Inventory
from freehold.adapters.fargate_sandbox.package_archives import PackageArchives
from freehold.adapters.fargate_sandbox.sandboxes import WayOut
from freehold.adapters.fargate_sandbox.slots import Slots
from freehold.adapters.fargate_sandbox.supervisor import SupervisorSettings
from freehold.adapters.fargate_sandbox.tasks import Tasks
from freehold.adapters.fargate_sandbox.upkeep import Upkeep, World
from freehold.adapters.fargate_sandbox.workspace_files import WorkspaceFiles
from freehold.adapters.kms_secrets import KmsSecrets
from freehold.adapters.s3_blobs import S3Blobs
from freehold.ids import now
from freehold.settings_aws import EGRESS_CONTROL_PORT, EGRESS_PORT, SANDBOX_PORT

if TYPE_CHECKING:
    from collections.abc import Callable

    from freehold.adapters.fargate_sandbox.slot import Slot
    from freehold.ports import Blobs, Network, Records, SandboxRef, Secrets
    from freehold.settings_aws import (
        DispatchEnvironment,
        FleetEnvironment,
        SlotsEnvironment,
        WorkspacesEnvironment,
    )
    from freehold.toolset.packages import Packages


def sandboxes(
    environment: FleetEnvironment,
    table: Records,
    secrets: Secrets,
    network_of: Callable[[SandboxRef], Network],
    packages_of: Callable[[SandboxRef], Packages],
) -> FargateSandboxes:
    """The port. Sends nothing yet. `network_of` says what a sandbox that starts may reach,
    `packages_of` what is installed in it.
    """
    fleet = fleet_of(environment)
    slots = Slots(table, now)
    dispatch = _dispatch(environment, fleet, secrets)
    tasks = Tasks(LateClient("ecs"), fleet)
    egress = _egress(fleet, table, slots, tasks, dispatch, secrets)
    boots = _boots(slots, tasks, dispatch, SupervisorSettings(secrets, fleet), egress)
    registries = public_registries(_listed(environment.package_hosts))
    policy_of = partial(egress_policy, registries=registries)
    way_out = WayOut(egress, Grants(network_of, policy_of, {})) if egress else None
    return FargateSandboxes(
        slots,
        boots,
        dispatch,
        idle_seconds=fleet.idle_seconds,
        packages_of=packages_of,
        way_out=way_out,
    )


def upkeep(environment: SlotsEnvironment) -> Upkeep:
    """What looks after slots. Sends nothing yet."""
    return Upkeep(_world(environment), fleet_of(environment), blueprint_of(environment))


def inventory(environment: SlotsEnvironment) -> Inventory:
    """What finds orphans. Sends nothing yet."""
    return Inventory(_world(environment), _listed(environment.sandbox_file_systems))


def transfers(environment: DispatchEnvironment) -> Blobs:
    """The bucket for what is too large for a function."""
    return S3Blobs(LateClient("s3"), environment.sandbox_bucket_name)


def package_archives(environment: DispatchEnvironment) -> PackageArchives:
    """The same bucket, for installed packages."""
    return PackageArchives(LateClient("s3"), environment.sandbox_bucket_name)


def archives(environment: WorkspacesEnvironment) -> Archives:
    """The same bucket, as `workspaces` uses it."""
    return Archives(LateClient("s3"), environment.sandbox_bucket_name)


def fleet_of(environment: FleetEnvironment) -> Fleet:
    """Of an environment that has sandboxes."""
    given = environment
    assert given.sandbox_cluster_arn
    assert given.sandbox_subnets
    assert given.sandbox_security_group
    assert given.sandbox_dispatch_arn
    assert given.sandbox_family_prefix
    assert given.sandbox_idle_minutes
    return Fleet(
        cluster=given.sandbox_cluster_arn,
        subnets=_listed(given.sandbox_subnets),
        security_group=given.sandbox_security_group,
        port=SANDBOX_PORT,
        dispatch=given.sandbox_dispatch_arn,
        family_prefix=given.sandbox_family_prefix,
        idle_seconds=60 * given.sandbox_idle_minutes,
        egress=_egress_fleet(given),
    )


def _egress_fleet(environment: FleetEnvironment) -> EgressFleet | None:
    given = environment
    if given.sandbox_egress_family is None:
        return None
    assert given.sandbox_egress_subnets
    assert given.sandbox_egress_security_group
    return EgressFleet(
        family=given.sandbox_egress_family,
        subnets=_listed(given.sandbox_egress_subnets),
        security_group=given.sandbox_egress_security_group,
        port=EGRESS_PORT,
        control_port=EGRESS_CONTROL_PORT,
        refused_ranges=_listed(given.refused_ranges),
    )


def blueprint_of(environment: SlotsEnvironment) -> Blueprint:
    """What slots are made after."""
    given = environment
    return Blueprint(
        image=given.sandbox_image,
        cpu=given.sandbox_cpu,
        memory_mib=given.sandbox_memory_mib,
        disk_gib=given.sandbox_disk_gib,
        architecture=given.sandbox_architecture,
        execution_role=given.sandbox_execution_role_arn,
        log_group=given.sandbox_log_group,
        region=given.sandbox_region,
        file_systems=_listed(given.sandbox_file_systems),
        pool=given.sandbox_pool,
        started=given.sandbox_started,
        archive_days=given.sandbox_archive_days,
    )


def _world(environment: SlotsEnvironment) -> World:
    table = DynamoRecords(client("dynamodb"), environment.table_name)
    secrets = KmsSecrets(LateClient("kms"), environment.key_arn, table)
    fleet = fleet_of(environment)
    slots, tasks = Slots(table, now), Tasks(LateClient("ecs"), fleet)
    dispatch = _dispatch(environment, fleet, secrets)
    assert environment.sandbox_bucket_name
    functions = dict(
        zip(
            _listed(environment.sandbox_file_systems),
            _listed(environment.sandbox_workspaces_arns),
            strict=True,
        )
    )
    egress = _egress(fleet, table, slots, tasks, dispatch, secrets)
    return World(
        slots=slots,
        boots=_boots(slots, tasks, dispatch, SupervisorSettings(secrets, fleet), egress),
        tasks=tasks,
        access_points=AccessPoints(LateClient("efs"), fleet),
        files=WorkspaceFiles(LateClient("lambda"), functions),
        archives=Archives(LateClient("s3"), environment.sandbox_bucket_name),
        egress=egress,
    )


def _boots(
    slots: Slots,
    tasks: Tasks,
    dispatch: Dispatch,
    settings: SupervisorSettings,
    egress: Egress | None,
) -> Boots[Slot]:
    """The proxy forgets a sandbox before its task stops."""
    if egress is None:
        return Boots(slots, tasks, dispatch, settings)
    return Boots(slots, tasks, dispatch, settings, egress.shut)


def _egress(
    fleet: Fleet,
    table: Records,
    slots: Slots,
    tasks: Tasks,
    dispatch: Dispatch,
    secrets: Secrets,
) -> Egress | None:
    if fleet.egress is None:
        return None
    proxies = Proxies(table, now)
    boots = proxy_boots(proxies, tasks, dispatch, secrets, fleet.egress)
    return Egress(proxies, boots, slots, dispatch, secrets, fleet.egress.port)


def _dispatch(environment: FleetEnvironment, fleet: Fleet, secrets: Secrets) -> Dispatch:
    assert environment.sandbox_bucket_name
    bucket = S3Blobs(LateClient("s3"), environment.sandbox_bucket_name)
    return Dispatch(LateClient("lambda"), fleet, bucket, secrets)


def _listed(names: str) -> tuple[str, ...]:
    return tuple(name for name in names.split(",") if name)
