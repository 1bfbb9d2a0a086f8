"""Access points: the calls of EFS that slots need."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # publishes no types

from freehold.adapters.aws_answers import answered, code
from freehold.adapters.fargate_sandbox.fleet import Fleet
from freehold.adapters.fargate_sandbox.slot import DIRECTORIES, Slot
from freehold.adapters.fargate_sandbox.tasks import INSTALLATION_TAG, SLOT_TAG

TOOLS_UID = 10001
"""Whoever is who in the task, on the file system everything is this user's doing."""
_MODE = "0700"
_GONE = "AccessPointNotFound"
_EXISTS = "AccessPointAlreadyExists"


class AccessPoints:
    """Every method raises Unavailable when EFS is too busy or does not answer."""

    def __init__(self, client: Any, fleet: Fleet) -> None:
        """`client` is boto3's for EFS. Sends nothing yet."""
        self._client = client
        self._fleet = fleet

    def create(self, slot: Slot) -> tuple[str, ...]:
        """The slot's, made by the first of these calls; in the order of `DIRECTORIES`."""
        return tuple(self._create(slot, name) for name in DIRECTORIES)

    def delete(self, access_point: str) -> None:
        """The files stay, out of everybody's reach; no-op where there is none."""
        try:
            with answered("EFS"):
                self._client.delete_access_point(AccessPointId=access_point)
        except ClientError as error:
            if code(error) != _GONE:
                raise

    def all(self, file_system: str) -> dict[str, str]:
        """Those of slots: the slot's id by the access point's."""
        with answered("EFS"):
            pages = self._client.get_paginator("describe_access_points").paginate(
                FileSystemId=file_system
            )
            found = [point for page in pages for point in page["AccessPoints"]]
        tagged = {
            point["AccessPointId"]: {tag["Key"]: tag["Value"] for tag in point.get("Tags", ())}
            for point in found
        }
        return {point: tags[SLOT_TAG] for point, tags in tagged.items() if SLOT_TAG in tags}

    def _create(self, slot: Slot, name: str) -> str:
        try:
            with answered("EFS"):
                made = self._client.create_access_point(
                    ClientToken=f"{slot.slot_id}-{name}",
                    FileSystemId=slot.file_system,
                    PosixUser={"Uid": TOOLS_UID, "Gid": TOOLS_UID},
                    RootDirectory={
                        "Path": f"/{directory_name(slot.slot_id, name)}",
                        "CreationInfo": {
                            "OwnerUid": TOOLS_UID,
                            "OwnerGid": TOOLS_UID,
                            "Permissions": _MODE,
                        },
                    },
                    Tags=[
                        {"Key": SLOT_TAG, "Value": slot.slot_id},
                        {"Key": INSTALLATION_TAG, "Value": self._fleet.family_prefix},
                    ],
                )
        except ClientError as error:
            if code(error) != _EXISTS:
                raise
            found: str = error.response["AccessPointId"]
            return found
        access_point: str = made["AccessPointId"]
        return access_point


def directory_name(slot_id: str, name: str) -> str:
    """Of one of the slot's directories, at the top of its file system."""
    return f"{slot_id}-{name}"
