"""What `freehold doctor` looks at. A check never raises: what it cannot find out is its finding."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from freehold.adapters.subprocess_sandbox import Probe
    from freehold.settings import Settings
    from freehold.toolset import JsonObject

Status: TypeAlias = Literal["ok", "note", "missing"]

_ENGINES = ("docker", "podman")
_LEAST_FREE_BYTES = 1 << 30
_CLOCK_TOLERANCE = timedelta(seconds=60)
_SECONDS = 5.0
_DEFAULT_ENDPOINT = "https://api.anthropic.com"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `missing` means that the server, as asked to run, lacks something; `note` that
    it can do without.

    `remedy` is a command or an action; empty when there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""

    def as_json(self) -> JsonObject:
        return asdict(self)


def all_checks(settings: Settings) -> list[Check]:
    """Every check, in the order they are shown.

    Asks the model's endpoint only when there is a key or an endpoint.
    """
    model, endpoint_time = check_model(settings)
    return [
        check_python(),
        *check_sandbox(settings),
        check_namespaces(),
        check_engine(),
        check_disk(settings.data_dir),
        check_store(settings.data_dir),
        check_clock(settings.data_dir, datetime.now(UTC), endpoint_time),
        check_prices(settings),
        model,
    ]


def check_python() -> Check:
    found = ".".join(str(part) for part in sys.version_info[:3])
    return Check("Python", "ok", f"{found} at {sys.executable}")


def check_prices(settings: Settings) -> Check:
    """Which list prices budgets are charged by."""
    prices = settings.prices
    detail = f"of {prices.date}, {prices.source}"
    if prices.own is not None:
        names = ", ".join(sorted(prices.own.models)) or "no model"
        detail = f"of {prices.own.date}, {prices.own.source} ({names}); else {detail}"
    return Check("List prices", "ok", detail)


def check_sandbox(settings: Settings) -> tuple[Check, Check]:
    """The rung a server would use here, and whether the egress proxy is reached from inside: found
    by starting a real sandbox and a real proxy as the server does.
    """
    from freehold.adapters.local_secrets import LocalSecrets  # noqa: PLC0415 - only doctor pays
    from freehold.adapters.subprocess_sandbox import SubprocessSandboxes  # noqa: PLC0415 - as above
    from freehold.bootstrap import laptop_egress  # noqa: PLC0415 - as above

    # In a directory of its own: a server may be running in the data directory.
    with tempfile.TemporaryDirectory(prefix="freehold-doctor-") as scratch:
        secrets = LocalSecrets(Path(scratch) / "secret.key")
        egress = laptop_egress(settings, Path(scratch), secrets)
        sandboxes = SubprocessSandboxes(Path(scratch), secrets, settings.sandbox, egress=egress)
        try:
            probe = sandboxes.usable()
        finally:
            sandboxes.close()
    return _judge_sandbox(probe), _judge_network(probe, settings)


def _judge_network(probe: Probe, settings: Settings) -> Check:
    name = "Network"
    if probe.rung is None or probe.rung == "none":
        return Check(name, "note", "no sandbox that could have one of its own")
    if settings.network == "off":
        return Check(name, "note", "turned off: no sandbox has one", "--network on")
    if probe.no_network:
        return Check(name, "missing", f"no sandbox has one: {probe.no_network}", "--network off")
    return Check(name, "ok", "sandboxes reach the egress proxy")


def _judge_sandbox(probe: Probe) -> Check:
    if probe.rung == "none":
        return Check("Sandbox", "note", "none: tools run as this user and nothing isolates them")
    if probe.rung:
        return Check("Sandbox", "ok", f"{probe.rung} works")
    reasons = "; ".join(f"{found.rung}: {found.reason}" for found in probe.findings)
    remedies = "; or ".join(found.remedy for found in probe.findings if found.remedy)
    return Check("Sandbox", "missing", reasons, remedies or "--sandbox auto")


def check_namespaces(
    kernel: Path = Path("/proc/sys"), *, platform: str = sys.platform, uid: int | None = None
) -> Check:
    """Whether the kernel lets this user make the namespaces that the bubblewrap rung is made of."""
    name = "Namespaces"
    if platform != "linux":
        return Check(
            name, "note", "only Linux has them", "use a container engine: docker or podman"
        )
    if _number(kernel / "user/max_user_namespaces") == 0:
        return Check(name, "note", "turned off", "sudo sysctl -w user.max_user_namespaces=15000")
    if (os.geteuid() if uid is None else uid) == 0:
        return Check(name, "ok", "allowed")
    if _number(kernel / "kernel/unprivileged_userns_clone") == 0:
        return Check(
            name,
            "note",
            "not for unprivileged users",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        )
    if _number(kernel / "kernel/apparmor_restrict_unprivileged_userns") == 1:
        return Check(
            name,
            "note",
            "AppArmor restricts them for programs without a profile",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    return Check(name, "ok", "allowed")


def _number(path: Path) -> int | None:
    """The number in a kernel setting; None where the kernel has no such setting."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def check_engine() -> Check:
    """The first container engine whose daemon answers."""
    name = "Container engine"
    remedy = "install docker or podman, and start it"
    silent = []
    for engine in _ENGINES:
        program = shutil.which(engine)
        if program is None:
            continue
        if _runs([program, "info"]):
            return Check(name, "ok", f"{engine} answers")
        silent.append(engine)
    if silent:
        return Check(name, "note", f"{' and '.join(silent)} found, but nothing answers", remedy)
    return Check(name, "note", "none found", remedy)


def _runs(command: list[str]) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 - a program found on PATH, our arguments
            command, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def check_disk(data_dir: Path) -> Check:
    """Free space where the data directory is, or will be."""
    place = data_dir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    detail = f"{free / (1 << 30):.1f} GiB free at {place}"
    if not os.access(place, os.W_OK | os.X_OK):
        return Check("Disk", "missing", f"{place} is not writable", "choose another --data-dir")
    if free < _LEAST_FREE_BYTES:
        return Check("Disk", "missing", detail, "free at least 1 GiB, or choose another --data-dir")
    return Check("Disk", "ok", detail)


def check_store(data_dir: Path) -> Check:
    """Which schema version the database has, and whether this release takes it."""
    from freehold.adapters.sqlite import (  # noqa: PLC0415 - only doctor pays
        StoreUnusable,
        stored_version,
    )
    from freehold.schema import VERSION  # noqa: PLC0415 - as above

    name = "Store"
    try:
        version = stored_version(data_dir / "freehold.db")
    except StoreUnusable as unusable:
        return Check(name, "missing", str(unusable), "choose another --data-dir")
    if version == 0:
        return Check(name, "ok", f"none yet; it will have schema version {VERSION}")
    if version < VERSION:
        later = f"the next start brings it to {VERSION} and keeps a copy as it is"
        return Check(name, "note", f"schema version {version}; {later}", "freehold migrate")
    return Check(name, "ok", f"schema version {version}")


def check_clock(data_dir: Path, now: datetime, endpoint_time: datetime | None) -> Check:
    """A clock that runs behind breaks TLS, and leases of a server that ran before look alive.

    It is held against the model endpoint's answer where there is one, else against the files
    written here before.
    """
    remedy = "set the clock: sudo timedatectl set-ntp true"
    if endpoint_time is not None:
        if abs(now - endpoint_time) > _CLOCK_TOLERANCE:
            off = (now - endpoint_time).total_seconds()
            return Check("Clock", "missing", f"{off:+.0f} s from the model endpoint's", remedy)
        return Check("Clock", "ok", "agrees with the model endpoint's")
    written = [Path(__file__), *(data_dir.glob("*") if data_dir.is_dir() else ())]
    newest = datetime.fromtimestamp(max(path.stat().st_mtime for path in written), UTC)
    if newest - now > _CLOCK_TOLERANCE:
        return Check("Clock", "missing", f"behind files written at {newest:%Y-%m-%d %H:%M}", remedy)
    return Check("Clock", "ok", f"{now:%Y-%m-%d %H:%M} UTC")


def check_model(settings: Settings) -> tuple[Check, datetime | None]:
    """Whether the endpoint takes the key, by one request for its list of models; and the endpoint's
    clock.
    """
    name = "Model"
    if settings.model == "scripted":
        return (
            Check(name, "note", "the scripted model answers", "export ANTHROPIC_API_KEY=..."),
            None,
        )
    if settings.model != "anthropic":
        return check_aws_credentials(settings), None
    import httpx2  # noqa: PLC0415 - only when there is somebody to ask

    base = settings.anthropic_base_url or _DEFAULT_ENDPOINT
    key = settings.anthropic_api_key
    headers = {"anthropic-version": "2023-06-01"}
    if key:
        headers["x-api-key"] = key.get_secret_value()
    local = urlsplit(base).hostname in _LOOPBACK
    try:
        with httpx2.Client(timeout=_SECONDS, trust_env=not local) as client:
            answer = client.get(f"{base}/v1/models", params={"limit": 1}, headers=headers)
    except (httpx2.HTTPError, OSError) as failed:
        remedy = "check ANTHROPIC_BASE_URL, HTTPS_PROXY and SSL_CERT_FILE"
        return Check(name, "missing", f"{base} cannot be reached: {failed}", remedy), None
    return _judge(base, answer.status_code), _date(answer.headers.get("date"))


def check_aws_credentials(settings: Settings) -> Check:
    """Whether requests to a provider on AWS can be signed. Which models the account may use, its
    first request tells: asking for a reply would cost one.
    """
    from freehold.adapters import aws_clients  # noqa: PLC0415 - boto3 takes a third of a second

    place = f"{settings.model} in {settings.model_region}"
    if settings.aws_api_key is not None:
        return Check("Model", "note", f"{place} with an API key; it was not checked")
    if not aws_clients.has_credentials():
        remedy = "set AWS_PROFILE, or sign in: aws sso login"
        return Check("Model", "missing", f"{place} needs AWS credentials; there are none", remedy)
    try:
        account = aws_clients.account(settings.model_region)
    except aws_clients.CredentialsRefused as refused:
        return Check("Model", "missing", f"{place}: {refused}", "aws sts get-caller-identity")
    return Check("Model", "ok", f"{place}, paid by the AWS account {account}")


def _judge(base: str, status: int) -> Check:
    if status in {401, 403}:
        remedy = "set ANTHROPIC_API_KEY to a key of this endpoint"
        return Check("Model", "missing", f"{base} refuses the key ({status})", remedy)
    if status == 200:  # noqa: PLR2004 - HTTP's own number
        return Check("Model", "ok", f"{base} accepts the key")
    return Check("Model", "note", f"{base} answers {status}; the key was not checked")


def _date(header: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(header) if header else None
    except ValueError:
        return None
