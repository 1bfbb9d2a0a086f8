"""The package managers: how each is asked to install below a prefix, and where the tools find what
it has put there. Nothing is installed outside of the prefix, so it can be kept and shown again.
"""

# ruff: noqa: PTH112 - pathlib is slow to import

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freehold.toolset.packages import MANAGERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freehold.toolset.packages import Packages

_FETCH = """
mkdir -p "$1/lists/partial" "$1/archives/partial"
root=$1; shift
apt() {
    apt-get -q -o "Dir::State=$root" -o "Dir::Cache=$root" -o Debug::NoLocking=true \\
        -o APT::Sandbox::User= -o Acquire::Languages=none "$@"
}
apt update
apt --yes --no-install-recommends --download-only install -- "$@"
"""
"""Resolved against what the image has. apt itself installs nothing: for that it must be root."""
_UNPACK = """
mkdir -p "$2"
for archive in "$1"/*.deb; do
    test -e "$archive" || continue  # all of it is in the image
    dpkg-deb --extract "$archive" "$2"
done
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a manager, with what it finds in its environment besides the tools' own."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def steps(manager: str, names: tuple[str, ...], prefix: str, scratch: str) -> Iterator[Step]:
    """What installs these packages below `prefix`; `scratch` is forgotten afterwards.

    A package is an argument of its own. None begins with `-`.
    """
    root = f"{prefix}/{manager}"
    if manager == "apt":
        yield Step(("/bin/sh", "-ec", _FETCH, "apt", f"{scratch}/apt", *names))
        yield Step(("/bin/sh", "-ec", _UNPACK, "apt", f"{scratch}/apt/archives", root))
    elif manager == "cargo":
        yield Step(("cargo", "install", "--root", root, "--", *names))
    elif manager == "gem":
        places = ("--install-dir", root, "--bindir", f"{root}/bin")
        yield Step(("gem", "install", "--no-document", *places, *names))
    elif manager == "go":
        for name in names:  # those of one command must be of one module
            versioned = name if "@" in name else f"{name}@latest"
            yield Step(("go", "install", versioned), {"GOBIN": f"{root}/bin"})
    elif manager == "npm":
        quiet = ("--no-audit", "--no-fund", "--no-update-notifier", "--no-progress")
        yield Step(("npm", "install", "--global", "--prefix", root, *quiet, "--", *names))
    elif manager == "pip":
        quiet = ("--no-input", "--no-cache-dir", "--disable-pip-version-check", "--no-color")
        places = ("--target", root, "--progress-bar", "off")
        yield Step(("python3", "-m", "pip", "install", *quiet, *places, "--", *names))
    else:
        raise AssertionError(manager)


def tool_environment(prefix: str, given: Mapping[str, str]) -> dict[str, str]:
    """`given`, with the variables by which programs find what is below `prefix`. What the image has
    of the same name comes after it.
    """
    found = dict(given)
    if not prefix:
        return found
    there = [name for name in MANAGERS if os.path.isdir(f"{prefix}/{name}")]
    for manager in there:
        for name, places in _places(manager, f"{prefix}/{manager}").items():
            # An empty entry would be the working directory; only Ruby has a use for one.
            rest = [found[name]] if found.get(name) else [""] if name == "GEM_PATH" else []
            found[name] = os.pathsep.join([*places, *rest])
    return found


def _places(manager: str, root: str) -> Mapping[str, tuple[str, ...]]:
    if manager == "apt":
        library = f"{root}/usr/lib"
        machine = f"{library}/{platform.machine()}-linux-gnu"
        programs = ("usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
        return {
            "PATH": tuple(f"{root}/{place}" for place in programs),
            "LD_LIBRARY_PATH": (machine, library),
        }
    path = {"PATH": (f"{root}/bin",)}
    if manager == "gem":
        return {**path, "GEM_PATH": (root,)}
    if manager == "npm":
        return {**path, "NODE_PATH": (f"{root}/lib/node_modules",)}
    if manager == "pip":
        return {**path, "PYTHONPATH": (root,)}
    return path


def ordered(packages: Packages) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Managers with what is asked of them, in the order of BEHAVIOUR 4."""
    for manager in MANAGERS:
        if packages.get(manager):
            yield manager, packages[manager]
