"""The calls of ECS, EFS and S3, faced by somebody else's idea of those services."""

from __future__ import annotations

import io

import pytest

from freehold.adapters.fargate_sandbox.access_points import AccessPoints
from freehold.adapters.fargate_sandbox.archives import Archives
from freehold.adapters.fargate_sandbox.fleet import Fleet
from freehold.adapters.fargate_sandbox.slot import Slot
from freehold.adapters.fargate_sandbox.tasks import Tasks
from tests.contract.moto_account import moto_account
from tests.fargate import BLUEPRINT


@pytest.fixture
def account():
    with moto_account() as made:
        yield made


@pytest.fixture
def fleet(account):
    ecs = account.client("ecs")
    cluster = ecs.create_cluster(clusterName="sandboxes")["cluster"]["clusterArn"]
    return Fleet(cluster, ("subnet-1",), "sg-1", 8080, "dispatch", "Freehold", 900)


@pytest.fixture
def tasks(account, fleet):
    return Tasks(account.client("ecs"), fleet)


def test_an_access_point_is_made_found_and_deleted(account, fleet):
    efs = account.client("efs")
    file_system = efs.create_file_system(CreationToken="1")["FileSystemId"]
    points = AccessPoints(efs, fleet)
    made = points.create(Slot("slot_1", file_system))
    assert len(set(made)) == 2
    assert points.all(file_system) == dict.fromkeys(made, "slot_1")
    for found in efs.describe_access_points(FileSystemId=file_system)["AccessPoints"]:
        assert {"Key": "installation", "Value": "Freehold"} in found["Tags"]
    for point in made:
        points.delete(point)
        points.delete(point)
    assert points.all(file_system) == {}


def test_a_family_is_registered_found_and_deleted(account, tasks):
    slot = Slot("slot_1", "fs-1", access_points=("fsap-1", "fsap-2"), boot_id="boot_1")
    tasks.register(slot, BLUEPRINT)
    tasks.register(slot, BLUEPRINT)
    ecs = account.client("ecs")
    for other in ("Freehold-egress", "Freehold-Other-slot_2"):
        container = {"name": "other", "image": "other:1", "memory": 128}
        ecs.register_task_definition(family=other, containerDefinitions=[container])
    assert list(tasks.families()) == ["slot_1"]
    assert tasks.running() == []
    listed = {"familyPrefix": "Freehold-slot_1", "status": "ACTIVE"}
    assert len(ecs.list_task_definitions(**listed)["taskDefinitionArns"]) == 2
    tasks.deregister("slot_1")
    tasks.deregister("slot_1")
    assert ecs.list_task_definitions(**listed)["taskDefinitionArns"] == []


def test_an_archive_is_there_as_a_whole_or_not_at_all(account):
    s3 = account.client("s3")
    s3.create_bucket(Bucket="sandboxes")
    archives, name = Archives(s3, "sandboxes"), "archives/wrkspc_1/sesn_1/save_1"
    assert not archives.has(name)
    with pytest.raises(KeyError):
        archives.read(name)
    with pytest.raises(RuntimeError):
        archives.write(name, Breaking())
    assert not archives.has(name)
    archives.write(name, io.BytesIO(b"content"))
    assert archives.has(name)
    assert archives.read(name).read() == b"content"
    assert list(archives.names()) == [name]
    with pytest.raises(ValueError, match="no archive"):
        archives.delete("")
    archives.delete("archives/wrkspc_1/sesn_1/")
    assert list(archives.names()) == []


class Breaking:
    """Ends with an error in the middle."""

    def __init__(self):
        self.pieces = 3

    def read(self, size=-1):
        self.pieces -= 1
        if not self.pieces:
            raise RuntimeError("broken")
        return b"x" * (size if size > 0 else 10)
