"""What a supervisor is made of on this host: an interpreter, this program's two packages, and one
dependency.
"""

from __future__ import annotations

import compileall
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.toolset import image
from freehold.toolset.egress_environment import egress_environment

if TYPE_CHECKING:
    from freehold.adapters.subprocess_sandbox.rungs import Start
    from freehold.toolset import JsonObject

_DEPENDENCIES = ("cryptography", "cffi", "_cffi_backend")
PROGRAMS = "/opt/freehold"
"""Where a sandbox finds them; `sandbox_task.launch` names the same place."""

_RUN = "import sys; sys.path[:0] = {path!r}; from {module} import main; main()"


def interpreter() -> Path:
    """The program behind the virtual environment, if there is one."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return Path(sys.base_prefix).resolve() / "bin" / version


def interpreter_prefix() -> Path | None:
    """The directory that holds the interpreter and its library; None when it belongs to the system,
    which every sandbox sees anyway.
    """
    prefix = Path(sys.base_prefix).resolve()
    return None if prefix == Path("/usr") or Path("/usr") in prefix.parents else prefix


@cache
def packages() -> dict[str, Path]:
    """Files and directories by their place below `PROGRAMS`."""
    task, toolset = _place("sandbox_task"), _place("freehold.toolset")
    for package in (task, toolset):
        # A supervisor cannot write there, and without bytecode it would compile at each start.
        compileall.compile_dir(package, quiet=2, maxlevels=0)
    found = {"sandbox_task": task, "freehold/toolset": toolset}
    for name in _DEPENDENCIES:
        place = _place(name)
        found[f"packages/{place.name}"] = place
    return found


def _place(module: str) -> Path:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None, module
    origin = Path(spec.origin).resolve()
    return origin.parent if spec.submodule_search_locations is not None else origin


def in_sandbox(python: str, module: str) -> list[str]:
    """The command that runs `module.main` where `PROGRAMS` is. Nothing but the named packages and
    the standard library can be imported.
    """
    return _command(python, module, [PROGRAMS, f"{PROGRAMS}/packages"])


def on_host(module: str) -> list[str]:
    """The same on the host, without isolation."""
    roots = [_place("sandbox_task").parent, _place("cryptography").parent]
    return _command(str(interpreter()), module, [str(root) for root in roots])


def _command(python: str, module: str, path: list[str]) -> list[str]:
    return [python, "-I", "-S", "-c", _RUN.format(path=path, module=module)]


def packages_settings(start: Start, where: str = image.PACKAGES) -> JsonObject:
    """What a supervisor is told of the packages, which are mounted at `where`."""
    if start.prefix is None:
        return {}
    return {"packages": where, "installs": start.prefix.is_writable}


def tool_environment(
    search_path: str, home: str, temporary: str, start: Start | None = None
) -> dict[str, str]:
    """All that a tool finds in its environment; of `start`, the way out of the sandbox."""
    return {
        **(_egress_environment(start) if start else {}),
        "PATH": search_path,
        "HOME": home,
        "USER": "agent",
        "LANG": "C.UTF-8",
        "TMPDIR": temporary,
        "TERM": "dumb",
        "PS1": "",
        "PS2": "",
    }


def _egress_environment(start: Start) -> dict[str, str]:
    egress = start.egress
    return egress_environment(start.session_id, egress.token, egress.variables) if egress else {}
