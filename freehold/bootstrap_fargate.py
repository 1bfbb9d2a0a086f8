"""Builds what sandboxes on AWS are made of, for the functions that have to do with them."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from freehold.adapters.aws_clients import LateClient, client
from freehold.adapters.dynamodb import DynamoRecords
from freehold.adapters.fargate_sandbox import FargateSandboxes
from freehold.adapters.fargate_sandbox.access_points import AccessPoints
from freehold.adapters.fargate_sandbox.archives import Archives
from freehold.adapters.fargate_sandbox.boots import Boots
from freehold.adapters.fargate_sandbox.dispatch import Dispatch
from freehold.adapters.fargate_sandbox.fleet import Blueprint, Fleet
from freehold.adapters.fargate_sandbox.inventory import Inventory
from freehold.adapters.fargate_sandbox.slots import Slots
from freehold.adapters.fargate_sandbox.supervisor import SupervisorSettings
from freehold.adapters.fargate_sandbox.tasks import Tasks
from freehold.adapters.fargate_sandbox.upkeep import Upkeep, World
from freehold.adapters.fargate_sandbox.workspace_files import WorkspaceFiles
from freehold.adapters.kms_secrets import KmsSecrets
from freehold.adapters.s3_blobs import S3Blobs
from freehold.ids import now
from freehold.settings_aws import SANDBOX_PORT

if TYPE_CHECKING:
    from freehold.ports import Blobs, Records, Secrets
    from freehold.settings_aws import (
        DispatchEnvironment,
        FleetEnvironment,
        SlotsEnvironment,
        WorkspacesEnvironment,
    )


def sandboxes(environment: FleetEnvironment, table: Records, secrets: Secrets) -> FargateSandboxes:
    """The port. Sends nothing yet."""
    fleet = fleet_of(environment)
    slots = Slots(table, now)
    dispatch = _dispatch(environment, fleet, secrets)
    tasks = Tasks(LateClient("ecs"), fleet)
    boots = Boots(slots, tasks, dispatch, SupervisorSettings(secrets, fleet))
    return FargateSandboxes(slots, boots, dispatch, idle_seconds=fleet.idle_seconds)


def upkeep(environment: SlotsEnvironment) -> Upkeep:
    """What looks after slots. Sends nothing yet."""
    return Upkeep(_world(environment), fleet_of(environment), blueprint_of(environment))


def inventory(environment: SlotsEnvironment) -> Inventory:
    """What finds orphans. Sends nothing yet."""
    return Inventory(_world(environment), _listed(environment.sandbox_file_systems))


def transfers(environment: DispatchEnvironment) -> Blobs:
    """The bucket for what is too large for a function."""
    return S3Blobs(LateClient("s3"), environment.sandbox_bucket_name)


def archives(environment: WorkspacesEnvironment) -> Archives:
    """The same bucket, as `workspaces` uses it."""
    return Archives(LateClient("s3"), environment.sandbox_bucket_name)


def network(environment: DispatchEnvironment) -> tuple[IPv4Network, int]:
    """Where supervisors are."""
    return environment.sandbox_network, SANDBOX_PORT


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
    return World(
        slots=slots,
        boots=Boots(slots, tasks, dispatch, SupervisorSettings(secrets, fleet)),
        tasks=tasks,
        access_points=AccessPoints(LateClient("efs"), fleet),
        files=WorkspaceFiles(LateClient("lambda"), functions),
        archives=Archives(LateClient("s3"), environment.sandbox_bucket_name),
    )


def _dispatch(environment: FleetEnvironment, fleet: Fleet, secrets: Secrets) -> Dispatch:
    assert environment.sandbox_bucket_name
    bucket = S3Blobs(LateClient("s3"), environment.sandbox_bucket_name)
    return Dispatch(LateClient("lambda"), fleet, bucket, secrets)


def _listed(names: str) -> tuple[str, ...]:
    return tuple(names.split(","))
