"""Everything of sandboxes on AWS but AWS itself, which is `tests/fargate_account.py`."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Network

from freehold.adapters.blobs import DirectoryBlobs
from freehold.adapters.egress.policies import egress_policy
from freehold.adapters.egress.registries import public_registries
from freehold.adapters.fargate_sandbox import FargateSandboxes
from freehold.adapters.fargate_sandbox.access_points import AccessPoints
from freehold.adapters.fargate_sandbox.boots import Boots
from freehold.adapters.fargate_sandbox.dispatch import Dispatch
from freehold.adapters.fargate_sandbox.egress import Egress, Grants
from freehold.adapters.fargate_sandbox.egress_proxy import Proxies, proxy_boots
from freehold.adapters.fargate_sandbox.fleet import Blueprint, EgressFleet, Fleet
from freehold.adapters.fargate_sandbox.inventory import Inventory
from freehold.adapters.fargate_sandbox.sandboxes import WayOut
from freehold.adapters.fargate_sandbox.slots import Slots
from freehold.adapters.fargate_sandbox.supervisor import SupervisorSettings
from freehold.adapters.fargate_sandbox.tasks import Tasks
from freehold.adapters.fargate_sandbox.upkeep import Upkeep, World
from freehold.adapters.fargate_sandbox.workspace_files import WorkspaceFiles
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.sqlite import SqliteRecords
from freehold.errors import SandboxStarting
from freehold.ids import now
from freehold.keys import SessionKey
from freehold.ports import Network, Write
from freehold.settings_aws import EGRESS_CONTROL_PORT, EGRESS_PORT
from freehold.testing.sandbox_calls import new_sandbox
from functions.dispatch.handler import EGRESS_PROXY, make_handler
from functions.dispatch.handler import Network as Place
from functions.workspaces.handler import make_handler as make_workspaces
from tests.fargate_account import FILE_SYSTEM, PORT, Account
from tests.ministack import REGION

LOOPBACK, PROXIES = IPv4Network("127.0.0.0/8"), IPv4Network("127.99.0.0/16")
CLUSTER = f"arn:aws:ecs:{REGION}:000000000000:cluster/sandboxes"
DISPATCH, WORKSPACES = "dispatch", "workspaces"
BLUEPRINT = Blueprint(
    image="sandbox:1",
    cpu=512,
    memory_mib=1024,
    disk_gib=21,
    architecture="arm64",
    execution_role="arn:aws:iam::000000000000:role/execution",
    log_group="sandboxes",
    region=REGION,
    file_systems=(FILE_SYSTEM,),
    pool=2,
    started=0,
    archive_days=30,
)


def _at_once(_seconds):
    """Pauses between attempts, left out."""


class DirectoryArchives:
    """The bucket of archives, as files."""

    def __init__(self, root):
        self._root = root

    def has(self, name):
        return (self._root / name).exists()

    def write(self, name, content):
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.with_name("partial")).open("wb") as file:
            shutil.copyfileobj(content, file)
        path.with_name("partial").rename(path)

    def read(self, name):
        try:
            return (self._root / name).open("rb")
        except FileNotFoundError:
            raise KeyError(name) from None

    def names(self):
        found = [path for path in self._root.rglob("*") if path.is_file()]
        return [str(path.relative_to(self._root)) for path in found]

    def delete(self, prefix):
        for name in self.names():
            if name.startswith(prefix):
                (self._root / name).unlink()


class DirectoryPackages:
    """The bucket of installed packages, as files: `{key}`, and `{key}.digest` beside it."""

    def __init__(self, root):
        self.root = root
        root.mkdir()

    def find(self, key):
        try:
            digest = (self.root / f"{key}.digest").read_text()
        except FileNotFoundError:
            return None
        return digest, (self.root / key).stat().st_size

    def write(self, key, content, digest):
        partial = self.root / f"{key}.{os.urandom(8).hex()}"
        with partial.open("wb") as file:
            while chunk := content.read(65536):
                file.write(chunk)
        partial.rename(self.root / key)
        (self.root / f"{key}.digest").write_text(digest)

    def read(self, key):
        try:
            return (self.root / key).open("rb")
        except FileNotFoundError:
            raise KeyError(key) from None


class Patient:
    """The port as `run_tools` sees it over several invocations: what waits is asked again."""

    def __init__(self, sandboxes, tick):
        self._sandboxes = sandboxes
        self._tick = tick

    def __getattr__(self, name):
        return getattr(self._sandboxes, name)

    def boot(self, sandbox):
        from tests.servers import wait_for

        def ask():
            try:
                return self._sandboxes.boot(sandbox)
            except SandboxStarting:
                self._tick()
                return None

        return wait_for(ask, seconds=30, every=0.02)


@dataclass
class Installation:
    """Everything of sandboxes on AWS, on one account and one store."""

    account: Account
    records: object
    world: World
    fleet: Fleet
    blueprint: Blueprint
    secrets: object
    clock: object
    transfers: object
    packages: DirectoryPackages
    networks: dict
    """What the environments of sessions grant, by the session's id; nothing unless told."""

    def sandboxes(self, **given):
        """Another instance of the port, as another process has."""
        return FargateSandboxes(
            self.world.slots,
            self.world.boots,
            self.dispatch(),
            idle_seconds=self.fleet.idle_seconds,
            way_out=self.way_out(),
            **{"wait_seconds": 0.3, **given},
        )

    def way_out(self):
        """Another instance, as another process has."""
        if self.fleet.egress is None:
            return None
        world = self.world
        policy_of = partial(egress_policy, registries=public_registries())
        grants = Grants(lambda ref: self.networks.get(ref.session_id, Network()), policy_of, {})
        return WayOut(
            egress_of(
                self.fleet,
                self.records,
                world.slots,
                world.tasks,
                self.dispatch(),
                self.secrets,
                self.clock,
            ),
            grants,
        )

    def dispatch(self):
        client = self.account.client("lambda")
        return Dispatch(client, self.fleet, self.transfers, self.secrets, _at_once)

    @property
    def upkeep(self):
        return Upkeep(self.world, self.fleet, self.blueprint)

    @property
    def inventory(self):
        return Inventory(self.world, self.blueprint.file_systems)

    def session(self):
        """The key of a session that exists, as far as sandboxes look."""
        ref = new_sandbox()
        key = SessionKey(ref.workspace_id, ref.session_id)
        self.records.write([Write(key.state(), put={"running": 0})])
        return ref, key

    def delete(self, ref, key):
        """As a session is deleted and purged (engine/purge.py)."""
        self.records.write([Write(key.state(), set={"dead": True})])
        self.sandboxes().remove(ref)
        self.records.write([Write(key.sandbox(), delete=True), Write(key.state(), delete=True)])

    def tick(self):
        """What happens every minute."""
        upkeep = self.upkeep
        for slot_id in upkeep.due():
            upkeep.visit(slot_id)
        upkeep.refill(lambda _: None)
        upkeep.start_ahead()
        upkeep.settle_egress()


EGRESS = EgressFleet("Freehold-egress", ("subnet-9",), "sg-9", EGRESS_PORT, EGRESS_CONTROL_PORT)


def egress_of(fleet, records, slots, tasks, dispatch, secrets, clock):
    """None where the fleet has no proxy."""
    if fleet.egress is None:
        return None
    proxies = Proxies(records, clock)
    boots = proxy_boots(proxies, tasks, dispatch, secrets, fleet.egress)
    return Egress(proxies, boots, slots, dispatch, secrets, fleet.egress.port)


@contextmanager
def installation(directory, *, records=None, clock=now, secrets=None, egress=None, **numbers):
    """A new one. `numbers` replaces some of the blueprint and `idle_seconds`; `egress` is `EGRESS`
    or nothing.
    """
    directory.mkdir(exist_ok=True)
    account = Account(directory)
    secrets = secrets or LocalSecrets(directory / "secret.key")
    fleet = Fleet(
        cluster=CLUSTER,
        subnets=("subnet-1", "subnet-2"),
        security_group="sg-1",
        port=PORT,
        dispatch=DISPATCH,
        family_prefix="Freehold",
        idle_seconds=numbers.pop("idle_seconds", 900),
        egress=egress,
    )
    if egress is not None:
        account.families[egress.family] = [{"arn": "egress:1", "status": "ACTIVE"}]
    blueprint = replace(BLUEPRINT, **numbers)
    records = records if records is not None else SqliteRecords(":memory:")
    transfers = DirectoryBlobs(directory / "transfers")
    archives = DirectoryArchives(directory / "archives")
    networks = [Place(PROXIES, EGRESS_CONTROL_PORT, EGRESS_PROXY), Place(LOOPBACK, PORT)]
    packages = DirectoryPackages(directory / "kept")
    account.functions[DISPATCH] = make_handler(networks, transfers, packages)
    arns = {}
    for one in blueprint.file_systems:
        arns[one] = f"{WORKSPACES}-{one}"
        handler = make_workspaces(account.files(one), archives, os.geteuid())
        account.functions[arns[one]] = handler
    functions = account.client("lambda")
    slots, tasks = Slots(records, clock), Tasks(account.client("ecs"), fleet)
    dispatch = Dispatch(functions, fleet, transfers, secrets, _at_once)
    proxy = egress_of(fleet, records, slots, tasks, dispatch, secrets, clock)
    forget = {"before_stop": proxy.shut} if proxy else {}
    world = World(
        slots=slots,
        boots=Boots(slots, tasks, dispatch, SupervisorSettings(secrets, fleet), **forget),
        tasks=tasks,
        access_points=AccessPoints(account.client("efs"), fleet),
        files=WorkspaceFiles(functions, arns),
        archives=archives,
        egress=proxy,
    )
    try:
        shared = (account, records, world, fleet, blueprint, secrets, clock, transfers, packages)
        yield Installation(*shared, {})
    finally:
        account.close()
