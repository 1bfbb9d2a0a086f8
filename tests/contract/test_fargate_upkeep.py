"""What happens to slots when nobody asks: made, stopped, archived, erased, and nothing is left."""

from __future__ import annotations

import io
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from freehold.adapters.fargate_sandbox.access_points import directory_name
from freehold.adapters.fargate_sandbox.dispatch import Line
from freehold.adapters.fargate_sandbox.slot import DIRECTORIES
from freehold.errors import SandboxLost, SandboxStarting
from freehold.ports import Write
from freehold.testing.sandbox_calls import bash, call, eventually, said
from functions.slots.handler import make_handler
from functions.workspaces import handler as workspaces
from tests.clocks import Clock
from tests.fargate import WORKSPACES, Patient, installation
from tests.fargate_account import FILE_SYSTEM, PORT

IDLE, DAY = timedelta(minutes=16), timedelta(days=1)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def installed(tmp_path, clock):
    with installation(tmp_path / "aws", clock=clock) as made:
        made.tick()
        yield made


@pytest.fixture
def sandboxes(installed):
    return Patient(installed.sandboxes(), installed.tick)


def names(account):
    return [name for name, _ in account.calls]


# ---------------------------------------------------------------- the pool
def test_a_slot_is_registered_before_any_session_exists(installed):
    account = installed.account
    assert len(installed.world.slots.free()) == 2
    assert len(account.families) == 2
    assert len(account.access_points) == 4
    assert "RunTask" not in names(account)
    for revisions in account.families.values():
        (definition,) = revisions
        assert "taskRoleArn" not in definition
        (container,) = definition["containerDefinitions"]
        kept = {"CHOWN", "KILL", "SETGID", "SETUID"}
        assert not kept & set(container["linuxParameters"]["capabilities"]["drop"])
        assert not {"environment", "secrets"} & set(container)
        assert container["portMappings"] == [{"containerPort": PORT, "protocol": "tcp"}]
        volumes = [volume["efsVolumeConfiguration"] for volume in definition["volumes"]]
        points = [volume["authorizationConfig"]["accessPointId"] for volume in volumes]
        assert all(volume["transitEncryption"] == "ENABLED" for volume in volumes)
        mounts = [mount["containerPath"] for mount in container["mountPoints"]]
        assert mounts == list(DIRECTORIES.values())
        for point, name in zip(points, DIRECTORIES, strict=True):
            found = account.access_points[point]
            assert found["RootDirectory"]["Path"].endswith(f"-{name}")
            assert found["RootDirectory"]["CreationInfo"]["Permissions"] == "0700"
            assert found["PosixUser"] == {"Uid": 10001, "Gid": 10001}


def test_a_task_is_told_no_secret_and_has_no_public_address(installed, sandboxes):
    ref, _ = installed.session()
    sandboxes.boot(ref)
    (asked,) = [asked for name, asked in installed.account.calls if name == "RunTask"]
    network = asked["networkConfiguration"]["awsvpcConfiguration"]
    assert network["assignPublicIp"] == "DISABLED"
    assert asked["enableExecuteCommand"] is False
    assert list(asked["overrides"]) == ["containerOverrides"]
    assert ref.session_id not in str(asked)


def test_the_pool_refills_behind_an_api_that_throttles(installed):
    """One registration a second; what AWS is too busy for is made at a later tick."""
    blueprint = installed.blueprint
    object.__setattr__(blueprint, "pool", 8)
    pauses = []
    upkeep, account = installed.upkeep, installed.account
    account.refuse += [
        ("RegisterTaskDefinition", "ThrottlingException"),
        ("CreateAccessPoint", "ThrottlingException"),
        ("RegisterTaskDefinition", "ThrottlingException"),
    ]
    for _ in range(6):
        for slot_id in upkeep.due():
            upkeep.visit(slot_id)
        upkeep.refill(pauses.append)
    assert account.refuse == []
    assert len(installed.world.slots.free()) >= 8
    made = len(installed.world.slots.all())
    assert made == len(installed.world.slots.free()) == len(account.families)
    assert len(account.access_points) == 2 * made
    assert set(pauses) == {1.0}
    assert installed.inventory.compare() == 0


def test_a_refill_makes_at_most_so_many_at_once(installed):
    object.__setattr__(installed.blueprint, "pool", 30)
    assert installed.upkeep.refill(lambda _: None, limit=3) == 3
    assert len(installed.world.slots.free()) == 5


def test_tasks_started_ahead_are_a_session_s_first_boot(tmp_path, clock):
    with installation(tmp_path / "aws", clock=clock, started=1) as installed:
        installed.tick()
        (task,) = installed.account.running()

        line = Line(task.slot_id, task.token, task.address)
        eventually(lambda: installed.dispatch().answers(line))
        clock.ahead += timedelta(minutes=1)
        installed.tick()
        looks = len(installed.account.calls)
        ref, _ = installed.session()
        boot_id = Patient(installed.sandboxes(), installed.tick).boot(ref)
        assert boot_id == task.token
        assert len(installed.account.calls) - looks <= 1
        installed.tick()
        assert len(installed.account.running()) == 2


@pytest.mark.parametrize("mib", [512, 8192])
def test_the_tools_have_the_memory_that_the_stack_gives_a_sandbox(tmp_path, mib):
    with installation(tmp_path / "aws", memory_mib=mib) as installed:
        installed.tick()
        ref, _ = installed.session()
        sandboxes = Patient(installed.sandboxes(), installed.tick)
        assert said(sandboxes, ref, bash("ulimit -d")) == str(mib * 1024 // 8 * 7)


# ---------------------------------------------------------------- idle, archive, restore
def test_an_idle_task_is_stopped_and_the_files_stay(installed, sandboxes, clock):
    ref, _ = installed.session()
    first = sandboxes.boot(ref)
    said(sandboxes, ref, bash("echo kept > file"))
    clock.ahead += timedelta(minutes=10)
    installed.tick()
    assert installed.account.running()
    sandboxes.boot(ref)  # used again
    clock.ahead += timedelta(minutes=10)
    installed.tick()
    assert installed.account.running()
    clock.ahead += IDLE
    installed.tick()
    assert installed.account.running() == []
    assert sandboxes.boot(ref) != first
    assert said(sandboxes, ref, call("read", file_path="file")) == "kept\n"


@pytest.mark.parametrize("begin", ["prewarm", "boot"])
def test_a_task_that_was_begun_and_never_used_is_stopped_too(installed, sandboxes, clock, begin):
    """A session goes on after it was idle, and its model calls no tool."""
    ref, key = installed.session()
    said(sandboxes, ref, bash("true"))
    for pause in (IDLE, timedelta(minutes=1)):
        clock.ahead += pause
        installed.tick()
    assert installed.account.running() == []
    with suppress(SandboxStarting):
        getattr(installed.sandboxes(), begin)(ref)
    eventually(lambda: installed.world.slots.of(key).task)
    assert len(installed.account.running()) == 1
    for pause in (IDLE, timedelta(minutes=1)):
        clock.ahead += pause
        installed.tick()
    assert installed.account.running() == []


def test_a_task_that_starts_after_upkeep_saw_its_slot_without_one_is_stopped(
    installed, sandboxes, clock
):
    ref, key = installed.session()
    installed.world.slots.adopt(key)
    installed.tick()
    said(sandboxes, ref, bash("true"))
    for pause in (IDLE, timedelta(minutes=1)):
        clock.ahead += pause
        installed.tick()
    assert installed.account.running() == []


def archive(installed, clock):
    """Time passes until every slot that nobody uses has been archived."""
    for pause in (IDLE, timedelta(minutes=1), 30 * DAY, *[timedelta(minutes=1)] * 4):
        clock.ahead += pause
        installed.tick()


def test_a_workspace_is_archived_after_30_days_and_comes_back(installed, sandboxes, clock):
    ref, key = installed.session()
    said(sandboxes, ref, bash("mkdir d && echo kept > d/file && ln -s /etc/passwd l && mkfifo f"))
    said(sandboxes, ref, bash("chmod 750 d && ln d/file d/again && touch -d 2020-01-01 d/file"))
    used = installed.world.slots.of(key).slot_id
    archive(installed, clock)
    slots = installed.world.slots
    assert slots.of(key) is None
    assert slots.get(used) is None
    assert slots.place(key).archive.split("/")[:3] == [
        "archives",
        ref.workspace_id,
        ref.session_id,
    ]
    assert not [p for p in installed.account.files().iterdir() if p.name.startswith(used)]
    seen = "stat -c '%a %h %Y' d d/file; readlink l; cat d/file; ls"
    with pytest.raises(SandboxStarting):
        installed.sandboxes().boot(ref)
    while slots.of(key).state == "restoring":
        clock.ahead += timedelta(minutes=1)
        installed.tick()
    lines = said(sandboxes, ref, bash(seen)).split("\n")
    assert lines[0].startswith("750 ")
    assert lines[1].split()[:2] == ["644", "2"]
    assert lines[1].split()[2].startswith("15778")
    assert lines[2:] == ["/etc/passwd", "kept", "d", "l"]
    assert slots.of(key).slot_id != used
    assert list(installed.world.archives.names()) == []
    assert installed.inventory.compare() == 0


def test_a_workspace_comes_back_where_every_free_slot_is_started_ahead(tmp_path, clock):
    with installation(tmp_path / "aws", clock=clock, pool=1, started=1) as installed:
        installed.tick()
        ref, key = installed.session()
        sandboxes = Patient(installed.sandboxes(), installed.tick)
        said(sandboxes, ref, bash("echo kept > file"))
        archive(installed, clock)
        assert installed.world.slots.of(key) is None
        with pytest.raises(SandboxStarting):
            installed.sandboxes().boot(ref)
        for _ in range(3):
            clock.ahead += timedelta(minutes=1)
            installed.tick()
        assert said(sandboxes, ref, call("read", file_path="file")) == "kept\n"
        assert len(installed.account.running()) == 2


def test_tasks_that_are_no_longer_to_be_started_ahead_are_stopped(tmp_path, clock):
    with installation(tmp_path / "aws", clock=clock, pool=3, started=3) as installed:
        installed.tick()
        assert len(installed.account.running()) == 3
        object.__setattr__(installed.blueprint, "started", 1)
        for _ in range(4):
            clock.ahead += timedelta(minutes=11)
            installed.tick()
        assert len(installed.account.running()) == 1
        assert len([slot for slot in installed.world.slots.free() if slot.boot_id]) == 1


def test_a_workspace_comes_back_where_no_task_has_been(tmp_path, clock):
    """A task that did not come up may have mounted the files all the same."""
    with installation(tmp_path / "aws", clock=clock, pool=1) as installed:
        installed.tick()
        ref, key = installed.session()
        sandboxes = Patient(installed.sandboxes(), installed.tick)
        said(sandboxes, ref, bash("echo kept > file"))
        archive(installed, clock)
        (used,) = [slot for slot in installed.world.slots.free() if not slot.boot_at]
        for slot in installed.world.slots.free():
            begun = installed.world.boots.started(slot)
            installed.account.running()[0].end()
            installed.world.boots.down(begun)
        assert not [slot for slot in installed.world.slots.free() if slot.boot_id]
        for _ in range(4):
            with suppress(SandboxStarting):
                installed.sandboxes().boot(ref)
            clock.ahead += timedelta(minutes=1)
            installed.tick()
        assert said(sandboxes, ref, call("read", file_path="file")) == "kept\n"
        assert installed.world.slots.of(key).slot_id != used.slot_id


class Interrupted(io.BufferedReader):
    """A file in whose middle something else happens, once."""

    def __init__(self, path, happens):
        super().__init__(io.FileIO(path))
        self._happens = [happens]
        self._middle = path.stat().st_size // 2

    def read(self, size=-1):
        if self._happens and self.tell() > self._middle:
            self._happens.pop()()
        return super().read(size)


def test_a_restore_that_is_under_way_is_no_orphan(installed, sandboxes, clock, monkeypatch):
    ref, key = installed.session()
    said(sandboxes, ref, bash("for n in 1 2 3 4 5 6; do head -c 99999 /dev/urandom > $n; done"))
    archive(installed, clock)
    path = installed.account.directory / "archives" / installed.world.slots.place(key).archive
    found = []
    middle = lambda: found.append(installed.inventory.compare())  # noqa: E731 - it has one line
    monkeypatch.setattr(installed.world.archives, "read", lambda _: Interrupted(path, middle))
    with pytest.raises(SandboxStarting):
        installed.sandboxes().boot(ref)
    for _ in range(3):
        clock.ahead += timedelta(minutes=1)
        installed.tick()
    assert found == [0]
    assert said(sandboxes, ref, bash("cat * | wc -c")) == str(6 * 99999)


def test_what_a_restore_left_that_was_cut_short_is_erased(installed, sandboxes, monkeypatch):
    ref, key = installed.session()
    sandboxes.boot(ref)
    left = installed.account.files() / f"{installed.world.slots.of(key).slot_id}_0f-workspace"
    left.mkdir()
    assert installed.inventory.compare() == 0
    monkeypatch.setattr(workspaces, "_RESTORE_SECONDS", -1.0)
    assert installed.inventory.compare() == 1
    assert not left.exists()


def test_a_session_that_comes_back_while_it_is_saved_keeps_its_slot(installed, sandboxes, clock):
    ref, key = installed.session()
    said(sandboxes, ref, bash("echo kept > file"))
    slot_id = installed.world.slots.of(key).slot_id
    functions, begun = installed.account.functions, []
    name = f"{WORKSPACES}-{FILE_SYSTEM}"
    save = functions[name]
    functions[name] = lambda event, _: begun.append(event) if "save" in event else save(event, _)
    archive(installed, clock)
    assert begun
    assert installed.world.slots.of(key).state == "saving"
    assert said(sandboxes, ref, call("read", file_path="file")) == "kept\n"
    save(begun[0], None)  # it comes to its end all the same
    functions[name] = save
    installed.tick()
    assert installed.world.slots.of(key).slot_id == slot_id
    assert installed.inventory.compare() == 1  # the archive that nobody needs
    assert list(installed.world.archives.names()) == []


def test_what_cannot_be_saved_stays_where_it_is(installed, sandboxes, clock, caplog):
    ref, key = installed.session()
    said(sandboxes, ref, bash("echo kept > file"))
    name = f"{WORKSPACES}-{FILE_SYSTEM}"
    save = installed.account.functions[name]
    installed.account.functions[name] = lambda event, _: (
        1 / 0 if "save" in event else save(event, _)
    )
    archive(installed, clock)
    clock.ahead += timedelta(minutes=20)
    installed.tick()
    assert "save_failed" in [record.message for record in caplog.records]
    assert installed.world.slots.of(key).state == "adopted"
    assert said(sandboxes, ref, call("read", file_path="file")) == "kept\n"


def test_a_slot_that_cannot_be_made_keeps_no_task_running(installed, sandboxes, clock):
    """Operators hear of it all the same, and no more are begun than the pool has."""
    ref, key = installed.session()
    sandboxes.boot(ref)
    installed.account.refuse = [("CreateAccessPoint", "AccessPointLimitExceeded")] * 100
    object.__setattr__(installed.blueprint, "pool", 3)
    handler = make_handler(installed.upkeep, installed.inventory)
    invocation = SimpleNamespace(get_remaining_time_in_millis=lambda: 300_000)
    for pause in (timedelta(0), IDLE, *[timedelta(minutes=1)] * 4):
        clock.ahead += pause
        with pytest.raises(ExceptionGroup) as refused:
            handler({}, invocation)
        assert refused.group_contains(ClientError, match="AccessPointLimitExceeded")
    assert installed.account.running() == []
    assert installed.world.slots.of(key).boot_id == ""
    assert len(installed.world.slots.all()) <= 1 + 3
    installed.account.refuse.clear()
    handler({}, invocation)
    assert len(installed.world.slots.free()) == 3
    assert len(installed.world.slots.all()) == 1 + 3


# ---------------------------------------------------------------- the end of a session
def test_of_a_deleted_session_nothing_is_left(installed, sandboxes):
    ref, key = installed.session()
    said(sandboxes, ref, bash("mkdir -p a/b && chmod 000 a && echo marker > m"))
    slot = installed.world.slots.of(key)
    installed.delete(ref, key)
    installed.tick()
    with pytest.raises(SandboxLost):
        sandboxes.execute(ref, slot.boot_id, bash("true"))
    account = installed.account
    assert installed.world.slots.get(slot.slot_id) is None
    assert account.running() == []
    assert f"Freehold-{slot.slot_id}" not in account.families
    assert not set(slot.access_points) & set(account.access_points)
    assert not [p for p in account.files().iterdir() if p.name.startswith(slot.slot_id)]
    assert installed.inventory.compare() == 0


def test_of_a_deleted_session_its_archive_goes_too(installed, sandboxes, clock):
    ref, key = installed.session()
    said(sandboxes, ref, bash("echo marker > m"))
    archive(installed, clock)
    assert list(installed.world.archives.names())
    installed.delete(ref, key)
    installed.tick()
    assert list(installed.world.archives.names()) == []


# ---------------------------------------------------------------- orphans
def test_the_inventory_finds_what_has_no_item(installed):
    world, account = installed.world, installed.account
    (slot, other) = world.slots.free()
    task = world.boots.started(slot)
    world.slots.forget(world.slots.get(task.slot_id))
    (account.files() / directory_name(slot.slot_id, "workspace")).mkdir(exist_ok=True)
    world.archives.write("archives/wrkspc_1/sesn_1/save_1", io.BytesIO())
    assert installed.inventory.compare() == 6
    assert account.running() == []
    assert set(account.families) == {f"Freehold-{other.slot_id}"}
    assert set(account.access_points) == set(other.access_points)
    assert not [p for p in account.files().iterdir() if p.name.startswith(slot.slot_id)]
    assert list(world.archives.names()) == []
    assert installed.inventory.compare() == 0


def test_the_inventory_finds_what_an_item_lacks(installed, sandboxes):
    world, account = installed.world, installed.account
    ref, key = installed.session()
    sandboxes.boot(ref)
    kept = world.slots.of(key).slot_id
    installed.upkeep.refill(lambda _: None)
    slot = world.slots.free()[0]
    del account.access_points[slot.access_points[0]]
    assert installed.inventory.compare() == 1
    assert slot.slot_id not in {free.slot_id for free in world.slots.free()}
    installed.records.write([Write(key.state(), delete=True)])
    assert installed.inventory.compare() == 1
    installed.tick()
    installed.tick()
    assert kept not in world.slots.all()
    assert slot.slot_id not in world.slots.all()
    assert account.running() == []


def test_a_slot_that_is_being_made_is_no_orphan(installed):
    account = installed.account
    account.lose.append("RegisterTaskDefinition")
    object.__setattr__(installed.blueprint, "pool", 3)
    installed.upkeep.refill(lambda _: None)
    assert installed.inventory.compare() == 0
    installed.tick()
    assert len(installed.world.slots.free()) == 3
    assert all(len(revisions) <= 2 for revisions in account.families.values())
