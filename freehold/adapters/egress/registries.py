"""Where the package managers of this machine get their packages, read from their configuration
(BEHAVIOUR 4): what a company's mirror replaces is not reached.
"""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from egress_proxy.host_names import plain_host

_URL = re.compile(r"https?://[^\s'\",;|#\]]+")
_PUBLIC = {
    "pip": ("https://pypi.org/simple", "https://files.pythonhosted.org"),
    "npm": ("https://registry.npmjs.org",),
    "cargo": ("https://index.crates.io", "https://static.crates.io", "https://crates.io"),
    "go": ("https://proxy.golang.org", "https://sum.golang.org"),
    "gem": ("https://rubygems.org", "https://index.rubygems.org"),
}
"""What each asks for when nothing is configured, apt apart: it has its sources in files."""


_UBUNTU = ("archive.ubuntu.com", "ports.ubuntu.com", "security.ubuntu.com")
"""Of apt, in the image of sandboxes."""


@dataclass(frozen=True, slots=True)
class Registries:
    """`hosts` of all package managers; `variables` tell those in a sandbox of a mirror, which is
    configured where a sandbox does not look. No user name or password is among them.
    """

    hosts: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Machine:
    environment: Mapping[str, str]
    root: Path
    home: Path

    def text(self, *names: str) -> str:
        """Of the files that there are; a `~` is the home directory."""
        found = []
        for name in names:
            path = self.home / name[2:] if name.startswith("~/") else self.root / name
            with suppress(OSError):
                found.append(path.read_text(errors="replace"))
        return "\n".join(found)

    def set(self, *names: str) -> list[str]:
        """The values of variables that are set."""
        return [self.environment[name] for name in names if self.environment.get(name)]


def registries(
    environment: Mapping[str, str],
    extra_hosts: Iterable[str] = (),
    *,
    root: Path = Path("/"),
    home: Path | None = None,
) -> Registries:
    """Of the machine whose files are below `root`, for the user of `home`. `extra_hosts` are the
    operator's own. A file that cannot be read says nothing.
    """
    machine = _Machine(environment, root, home or Path.home())
    found = {
        "pip": list(_pip(machine)),
        "npm": list(_npm(machine)),
        "cargo": list(_cargo(machine)),
        "go": list(_go(machine)),
        "gem": _URL.findall(machine.text("~/.gemrc", "etc/gemrc", "~/.bundle/config")),
    }
    used = {name: urls or _PUBLIC[name] for name, urls in found.items()}
    hosts = {_host(url) for urls in (*used.values(), _apt(machine)) for url in urls}
    named = sorted({host for host in hosts if host} | set(extra_hosts))
    return Registries(tuple(named), _variables(found))


def public_registries(extra_hosts: Iterable[str] = ()) -> Registries:
    """Where package managers go that nobody has configured, those of Ubuntu; for sandboxes that are
    not of this machine.
    """
    hosts = {_host(url) for urls in _PUBLIC.values() for url in urls}
    return Registries(tuple(sorted({*hosts, *_UBUNTU, *extra_hosts})))


def _host(url: str) -> str:
    """As the proxy knows it, which refuses a policy with any other; empty for what is no host: a
    variable, say, that a package manager would put in.
    """
    try:
        return plain_host(urlsplit(url).hostname or "")
    except ValueError:
        return ""


def _variables(found: Mapping[str, list[str]]) -> dict[str, str]:
    """Of mirrors alone: what nobody configured needs no words."""
    bare = {name: [_without_credentials(url) for url in urls] for name, urls in found.items()}
    variables = {}
    if bare["pip"]:
        variables["PIP_INDEX_URL"] = bare["pip"][0]
    if bare["pip"][1:]:
        variables["PIP_EXTRA_INDEX_URL"] = " ".join(bare["pip"][1:])
    if bare["npm"]:
        variables["NPM_CONFIG_REGISTRY"] = bare["npm"][0]
    if bare["go"]:
        variables["GOPROXY"] = ",".join(bare["go"])
    return variables


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


# ---------------------------------------------------------------- each package manager's own words
def _pip(machine: _Machine) -> Iterator[str]:
    """The index and further ones; the public index stays when only further ones are named."""
    index = machine.set("PIP_INDEX_URL")
    extra = machine.set("PIP_EXTRA_INDEX_URL")
    parser = configparser.RawConfigParser(strict=False)
    with suppress(configparser.Error):
        parser.read_string(
            machine.text("etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
        )
    for section in ("install", "global"):
        index += [parser.get(section, "index-url", fallback="")]
        extra += [parser.get(section, "extra-index-url", fallback="")]
    first = _URL.findall(" ".join(index))[:1]
    others = _URL.findall(" ".join(extra))
    if others and not first:
        first = list(_PUBLIC["pip"])
    yield from dict.fromkeys([*first, *others])


def _npm(machine: _Machine) -> Iterator[str]:
    """The registry, then those of single scopes."""
    lines = machine.text("~/.npmrc", "etc/npmrc", "usr/etc/npmrc").splitlines()
    given = machine.set("NPM_CONFIG_REGISTRY", "npm_config_registry")
    scoped = []
    for line in lines:
        name, _, value = line.partition("=")
        if name.strip() == "registry":
            given.append(value)
        elif name.strip().endswith(":registry"):
            scoped.append(value)
    first = _URL.findall(" ".join(given))[:1]
    others = _URL.findall(" ".join(scoped))
    yield from dict.fromkeys([*(first or (_PUBLIC["npm"] if others else ())), *others])


def _cargo(machine: _Machine) -> Iterator[str]:
    """Sources and registries; what replaces crates.io takes its place."""
    given: dict[str, object] = {}
    for name in ("~/.cargo/config.toml", "~/.cargo/config"):
        with suppress(tomllib.TOMLDecodeError):
            given = {**tomllib.loads(machine.text(name)), **given}
    tables = [given.get("source"), given.get("registries")]
    entries = [
        entry
        for table in tables
        if isinstance(table, dict)
        for entry in table.values()
        if isinstance(entry, dict)
    ]
    named = [str(entry.get("registry") or entry.get("index") or "") for entry in entries]
    urls = _URL.findall(" ".join(named))
    is_replaced = any("replace-with" in entry for entry in entries)
    yield from dict.fromkeys([*(() if is_replaced or not urls else _PUBLIC["cargo"]), *urls])


def _go(machine: _Machine) -> Iterator[str]:
    set_in_file = re.findall(r"^GOPROXY=(.*)$", machine.text("~/.config/go/env"), re.MULTILINE)
    given = machine.set("GOPROXY") or set_in_file
    yield from dict.fromkeys(_URL.findall(",".join(given[:1])))


def _apt(machine: _Machine) -> list[str]:
    """Every URL in the sources: they hold nothing else."""
    parts = machine.root / "etc/apt/sources.list.d"
    names = [f"etc/apt/sources.list.d/{path.name}" for path in sorted(parts.glob("*.[ls]*"))]
    lines = machine.text("etc/apt/sources.list", *names).splitlines()
    return _URL.findall("\n".join(line for line in lines if not line.lstrip().startswith("#")))
