"""Packages of environments that tasks of Fargate have from each other: what is kept, by whom, when,
and what is no archive of packages.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import signal
import tarfile
from dataclasses import replace
from functools import partial

import pytest

from freehold.adapters.fargate_sandbox.package_archives import PackageArchives
from freehold.errors import SandboxStarting
from freehold.keys import SessionKey
from freehold.ports import Write
from freehold.testing.sandbox_calls import bash, new_sandbox, said
from functions.dispatch.handler import NotForDispatch
from functions.dispatch.packages import NotAnArchive, NotWhole, _Promised
from tests.contract.moto_account import moto_account
from tests.fargate import DISPATCH, Patient, installation

GEM = {"gem": ("made:1.0",)}


@pytest.fixture
def installed(tmp_path):
    with installation(tmp_path / "aws", pool=4) as made:
        made.tick()
        yield made


class Gem:
    """A manager that installs a command, and says how often it was asked."""

    def __init__(self, directory):
        self._directory = directory
        self.path = directory / "bin"
        self.path.mkdir()
        self.installs()

    def installs(self, *lines):
        """What it does besides, below `$4`."""
        script = (
            f'#!/bin/sh\necho "$@" >> {self._directory}/log\n'
            'mkdir -p "$4/bin"; printf "#!/bin/sh\\necho installed" > "$4/bin/made"\n'
            'chmod +x "$4/bin/made"; ln -s made "$4/bin/other"\n'
        )
        path = self.path / "gem"
        path.write_text(script + "\n".join(lines) + "\n")
        path.chmod(0o755)

    @property
    def times(self):
        path = self._directory / "log"
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def gem(tmp_path, monkeypatch):
    made = Gem(tmp_path)
    monkeypatch.setenv("PATH", f"{made.path}{os.pathsep}{os.environ['PATH']}")
    return made


def process(installed, packages=GEM):
    """One that boots sandboxes."""
    return Patient(installed.sandboxes(packages_of=lambda _: packages), installed.tick)


def session_of(installed, workspace_id=""):
    """A session of a workspace, by default of the same one."""
    ref = replace(new_sandbox(), workspace_id=workspace_id or "wrkspc_1")
    installed.records.write([Write(SessionKey(*_of(ref)).state(), put={"running": 0})])
    return ref


def _of(ref):
    return ref.workspace_id, ref.session_id


def kept(installed):
    return sorted(path for path in installed.packages.root.iterdir() if not path.suffix)


def task_of(installed, ref):
    slot = installed.world.slots.of(SessionKey(*_of(ref)))
    return next(task for task in installed.account.running() if task.slot_id == slot.slot_id)


def carry(installed, changed):
    """Has `changed(carry, event)` answer for dispatch."""
    whole = installed.account.functions[DISPATCH]
    installed.account.functions[DISPATCH] = lambda event, _: changed(
        lambda given: whole(given, None), event
    )
    return whole


# ---------------------------------------------------------------- kept, and for whom
def test_two_sessions_of_one_environment_install_once(installed, gem):
    first, second = session_of(installed), session_of(installed)
    for ref in (first, second):
        sandboxes = process(installed)
        assert said(sandboxes, ref, bash("made; other")) == "installed\ninstalled"
    assert gem.times == 1
    assert len(kept(installed)) == 1


def test_another_workspace_another_order_and_another_image_install_their_own(installed, gem):
    said(process(installed), session_of(installed), bash("made"))
    said(process(installed), session_of(installed, "wrkspc_2"), bash("made"))
    assert gem.times == 2
    for names in (("made:1.0", "other"), ("other", "made:1.0")):
        said(process(installed, {"gem": names}), session_of(installed), bash("made"))
    assert gem.times == 4
    for slot in installed.world.slots.free():
        installed.world.slots.write(slot, platform="sandbox:2 arm64")
    said(process(installed), session_of(installed), bash("made"))
    assert gem.times == 5
    assert len(kept(installed)) == 5


def test_a_slot_of_which_nobody_knows_the_image_shares_nothing(installed, gem):
    for slot in installed.world.slots.free():
        installed.world.slots.write(slot, platform="")
    said(process(installed), session_of(installed), bash("made"))
    assert kept(installed) == []


def test_the_time_and_the_mode_of_files_come_back_and_nobody_else_may_write(installed, gem):
    gem.installs('chmod 777 "$4/bin/made"; touch -d @1000000000 "$4/bin/made"')
    look = 'stat -c "%a %Y" "$(command -v made)"'
    assert said(process(installed), session_of(installed), bash(look)) == "777 1000000000"
    assert said(process(installed), session_of(installed), bash(look)) == "755 1000000000"


def test_of_a_task_that_has_them_another_process_asks_once(installed, gem):
    ref = session_of(installed)
    said(process(installed), ref, bash("made"))
    asked = []

    def note(do, event):
        asked.append(event.get("path", event.keys()))
        return do(event)

    carry(installed, note)
    process(installed).boot(ref)
    assert asked == ["/healthz", "/install"]


# ---------------------------------------------------------------- what is not kept
def test_a_boot_that_finds_files_of_its_session_keeps_nothing(installed, gem):
    """A package may be the name of a file, which the session's tools have written."""
    ref = session_of(installed)
    plain = process(installed, {})
    said(plain, ref, bash("touch planted"))
    installed.account.stop_task({"task": task_of(installed, ref).arn})
    sandboxes = process(installed)
    assert said(sandboxes, ref, bash("made; ls")) == "installed\nplanted"
    assert (gem.times, kept(installed)) == (1, [])


def test_after_a_tool_has_run_the_supervisor_gives_nothing(installed, gem):
    """Whoever asks it, and however often: a save that failed is not made up for later."""
    ref = session_of(installed)
    whole = carry(installed, lambda do, event: 1 / 0 if "keep" in event else do(event))
    said(process(installed), ref, bash("made"))
    installed.account.functions[DISPATCH] = whole
    said(process(installed), ref, bash("made"))
    assert (gem.times, kept(installed)) == (1, [])
    task = task_of(installed, ref)
    line = installed.sandboxes()._line(ref, task.token)
    assert installed.dispatch().get(line, "/packages") == (409, {"error": "archive"})
    state = installed.account.directory / "tasks" / task.token
    assert not (state / "packages.tar.gz").exists()


def test_a_tool_that_ran_first_means_that_nothing_is_installed_filled_or_kept(installed, gem):
    said(process(installed), session_of(installed), bash("made"))
    late = session_of(installed)
    said(process(installed, {}), late, bash("true"))
    sandboxes = process(installed)
    assert said(sandboxes, late, bash("made || echo none")).endswith("none")
    assert gem.times == 1


@pytest.mark.parametrize(
    "line",
    [
        'ln -s /etc/passwd "$4/bin/out"',
        'ln -s ../../../state "$4/bin/out"',
        'mkfifo "$4/bin/fifo"',
        'truncate -s 2G "$4/bin/large"',
    ],
)
def test_a_prefix_that_leads_elsewhere_or_is_too_large_is_installed_by_each(installed, gem, line):
    gem.installs(line)
    for _ in range(2):
        assert said(process(installed), session_of(installed), bash("made")) == "installed"
    assert (gem.times, kept(installed)) == (2, [])


# ---------------------------------------------------------------- what dies
def test_a_process_that_dies_before_the_save_leaves_it_to_the_next(installed, gem):
    ref = session_of(installed)

    class Died(BaseException):
        pass

    def die(do, event):
        if "keep" in event:
            raise Died
        return do(event)

    whole = carry(installed, die)
    with pytest.raises(Died):
        process(installed).boot(ref)
    installed.account.functions[DISPATCH] = whole
    process(installed).boot(ref)
    assert (gem.times, len(kept(installed))) == (1, 1)


@pytest.mark.parametrize("what", ["supervisor", "dispatch"])
def test_what_dies_in_a_save_leaves_nothing(installed, gem, what):
    gem.installs('head -c 20000000 /dev/urandom > "$4/bin/large"')
    ref = session_of(installed)

    def write(key, content, digest):
        content.read(65536)
        if what == "dispatch":
            raise MemoryError
        task_of(installed, ref).process.kill()
        installed.packages.__class__.write(installed.packages, key, content, digest)

    installed.packages.write = write
    sandboxes = process(installed)
    sandboxes.boot(ref)
    del installed.packages.write
    assert kept(installed) == []
    other = session_of(installed)
    assert said(sandboxes, other, bash("made")) == "installed"
    assert (gem.times, len(kept(installed))) == (2, 1)


@pytest.mark.parametrize("when", ["find", "bring"])
def test_a_dispatch_that_dies_before_a_restore_means_an_installation(installed, gem, when):
    said(process(installed), session_of(installed), bash("made"))
    carry(installed, lambda do, event: 1 / 0 if when in event else do(event))
    assert said(process(installed), session_of(installed), bash("made")) == "installed"
    assert gem.times == 2


def test_an_archive_that_ends_in_the_middle_is_an_installation(installed, gem):
    gem.installs('head -c 5000000 /dev/urandom > "$4/bin/large"')
    said(process(installed), session_of(installed), bash("made"))
    (path,) = kept(installed)
    installed.packages.read = lambda _: io.BytesIO(path.read_bytes()[:4000000])
    assert said(process(installed), session_of(installed), bash("made")) == "installed"
    assert gem.times == 2


def test_a_task_that_dies_after_a_restore_has_them_once_more(installed, gem):
    said(process(installed), session_of(installed), bash("made"))
    ref = session_of(installed)
    sandboxes = process(installed)
    for _ in range(2):
        assert said(sandboxes, ref, bash("made")) == "installed"
        task_of(installed, ref).end(signal.SIGKILL)
        boot_id = sandboxes.boot(ref)
    assert boot_id
    assert gem.times == 1


def test_while_an_archive_is_unpacked_no_tool_runs_and_nobody_installs(installed, gem):
    gem.installs('head -c 40000000 /dev/urandom > "$4/bin/large"')
    said(process(installed), session_of(installed), bash("made"))
    ref = session_of(installed)
    seen, asking = [], []

    class Slow(io.BytesIO):
        def read(self, size=-1):
            found = super().read(size)
            # More than sockets hold: the supervisor has begun.
            if asking or self.tell() < 30_000_000:
                return found
            asking.append(True)
            with pytest.raises(SandboxStarting):
                installed.sandboxes(packages_of=lambda _: GEM, wait_seconds=0).boot(ref)
            task = task_of(installed, ref)
            line = installed.sandboxes()._line(ref, task.token)
            given = {"thread_id": "a", "event_id": "b", "digest": "c", "name": "bash", "wait": 0}
            asked = {**given, "input": {"command": "touch ran"}}
            seen.append(installed.dispatch().post(line, "/execute", asked))
            return found

    (path,) = kept(installed)
    installed.packages.read = lambda _: Slow(path.read_bytes())
    assert said(process(installed), ref, bash("made; ls")) == "installed"
    assert seen == [(409, {"error": "installing"})]
    assert gem.times == 1


# ---------------------------------------------------------------- hostile archives
def _archive(*members, compress=gzip.compress):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return compress(content.getvalue())


def _entry(name, kind=tarfile.REGTYPE, linkname="", data=b"", **pax):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, linkname, 0o4777
    member.pax_headers = pax
    return member, data


GEM_FOLDER = _entry("gem", tarfile.DIRTYPE)
HOSTILE = {
    "absolute name": [_entry("/planted", data=b"x")],
    "name that climbs": [GEM_FOLDER, _entry("gem/../../planted", data=b"x")],
    "parent that is not there": [_entry("gem/bin/made", data=b"x")],
    "through a link": [
        _entry("gem", tarfile.SYMTYPE, ".."),
        _entry("gem/planted", data=b"x"),
    ],
    "absolute link": [_entry("passwd", tarfile.SYMTYPE, "/etc/passwd")],
    "link that climbs": [GEM_FOLDER, _entry("gem/out", tarfile.SYMTYPE, "../../state")],
    "link that climbs by a link": [
        GEM_FOLDER,
        _entry("gem/up", tarfile.SYMTYPE, "../gem"),
        _entry("gem/out", tarfile.SYMTYPE, "up/../../state"),
    ],
    "hard link": [_entry("passwd", tarfile.LNKTYPE, "/etc/passwd")],
    "device": [_entry("zero", tarfile.CHRTYPE)],
    "FIFO": [_entry("fifo", tarfile.FIFOTYPE)],
    "file twice": [_entry("a", data=b"x"), _entry("a", data=b"y")],
    "a size that is a lie": [_entry("large", size=str(1 << 40))],
    "a name without an end": [_entry("n" * 100_000_000)],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_in_the_bucket_is_refused_and_replaced(installed, gem, what):
    """With the digest that it has: whoever could store it could say that as well."""
    said(process(installed), session_of(installed), bash("made"))
    (path,) = kept(installed)
    good = path.read_bytes()
    _plant(path, _archive(*HOSTILE[what], compress=partial(gzip.compress, compresslevel=1)))
    ref = session_of(installed)
    assert said(process(installed), ref, bash("made; ls")) == "installed"
    assert gem.times == 2
    state = installed.account.directory / "tasks" / task_of(installed, ref).token
    assert [path.name for path in (state / "packages").iterdir()] == ["gem"]
    assert not list(installed.account.directory.rglob("planted"))
    assert len(path.read_bytes()) == pytest.approx(len(good), rel=0.2)


def _plant(path, content):
    path.write_bytes(content)
    path.with_suffix(".digest").write_text(hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("what", ["noise", "other digest", "flipped"])
def test_what_is_no_archive_is_refused_and_replaced(installed, gem, what):
    said(process(installed), session_of(installed), bash("made"))
    (path,) = kept(installed)
    good = path.read_bytes()
    if what == "noise":
        _plant(path, os.urandom(100_000))
    elif what == "other digest":
        path.with_suffix(".digest").write_text("0" * 64)
    else:
        path.write_bytes(good[:-6] + bytes([good[-6] ^ 1]) + good[-5:])
    assert said(process(installed), session_of(installed), bash("made")) == "installed"
    assert gem.times == 2
    said(process(installed), session_of(installed), bash("made"))
    assert gem.times == 2


# ---------------------------------------------------------------- dispatch, and the bucket
KEY = "a" * 64
ASKED = {
    "keep": KEY,
    "digest": "b" * 64,
    "size": 1,
    "address": "127.0.0.1",
    "method": "GET",
    "path": "/packages",
    "headers": {},
}


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"keep": "../transfers/x"}, NotAnArchive),
        ({"keep": KEY + "\n"}, NotAnArchive),
        ({"digest": "x"}, NotAnArchive),
        ({"address": "10.0.0.1"}, NotForDispatch),
        ({"address": "127.99.0.1"}, NotForDispatch),
        ({"path": "/files"}, NotAnArchive),
        ({"method": "POST"}, NotForDispatch),
        ({"headers": {"host": "x"}}, NotForDispatch),
    ],
)
def test_dispatch_carries_packages_between_supervisors_and_their_objects_alone(
    installed, changed, error
):
    handler = installed.account.functions[DISPATCH]
    with pytest.raises(error):
        handler({**ASKED, **changed}, None)
    assert kept(installed) == []


def test_an_object_is_whole_or_not_there():
    content = os.urandom(9 << 20)
    digest = hashlib.sha256(content).hexdigest()

    def promised(arrived, size):
        return _Promised(io.BytesIO(arrived), digest, size)

    with moto_account() as account:
        client = account.client("s3")
        client.create_bucket(Bucket="sandboxes")
        archives = PackageArchives(client, "sandboxes")
        assert archives.find(KEY) is None
        with pytest.raises(KeyError):
            archives.read(KEY)
        wrong = bytes([content[0] ^ 1]) + content[1:]
        for arrived in (content[:-1], content[:100], wrong):  # in one part, and in several
            with pytest.raises(NotWhole):
                archives.write(KEY, promised(arrived, len(content)), digest)
            assert archives.find(KEY) is None
        archives.write(KEY, promised(content, len(content)), digest)
        assert archives.find(KEY) == (digest, len(content))
        with pytest.raises(NotWhole):
            archives.write(KEY, promised(b"short", 6), digest)
        assert archives.read(KEY).read() == content
        (found,) = client.list_objects_v2(Bucket="sandboxes")["Contents"]
        assert found["Key"] == f"packages/{KEY}"
        assert "Uploads" not in client.list_multipart_uploads(Bucket="sandboxes")
