"""What the documents say of the code is so."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib

import pytest

from freehold.cli import app
from freehold.cli.errors import _CODES, error_reference
from tests.docs.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SCRIPTS = [path for path in (ROOT / "scripts").iterdir() if path.is_file()]
LOCKS = [ROOT / "requirements.lock", ROOT / "requirements-dev.lock"]


def _named_files(document):
    return set(
        re.findall(r"`((?:tests|freehold|functions|bench|docs|scripts)/[\w./-]+\.\w+)", document)
    )


@pytest.mark.parametrize(
    "name", ["docs/invariants.md", "docs/architecture.md", "docs/benchmarks.md", "CONTRIBUTING.md"]
)
def test_every_file_that_a_document_names_exists(name):
    named = _named_files((ROOT / name).read_text())
    assert not [path for path in named if not (ROOT / path).exists()]


def _refused_features():
    """What the code refuses by name, read from the calls that do; computed names are left out."""
    found = set()
    for path in (ROOT / "freehold").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any(
                isinstance(parent, ast.Name) and parent.id == "_NotYetParams"
                for parent in node.bases
            ):
                found |= set(re.findall(r"type: Literal\['([\w.]+)'\]", ast.unparse(node)))
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in {"NotYetSupported", "not_yet"}:
                found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
            elif node.func.id == "not_yet_types":
                found |= {value.value for value in node.args[0].values}
    return found


def test_every_feature_that_is_refused_is_among_the_divergences():
    features = _refused_features()
    assert {"mcp_toolset", "resources"} <= features
    text = (ROOT / "docs/divergences.md").read_text()
    assert not [feature for feature in sorted(features) if f"`{feature}`" not in text]


def test_each_invariant_names_a_test():
    text = (ROOT / "docs/invariants.md").read_text()
    rules = re.split(r"^\d+\. ", text, flags=re.MULTILINE)[1:]
    assert len(rules) >= 10
    assert not [rule for rule in rules if "`tests/" not in rule]


def test_the_benchmarks_that_the_document_names_exist():
    text = (ROOT / "docs/benchmarks.md").read_text()
    programs = re.findall(r"python -m bench\.(\w+)", text)
    assert programs
    assert not [name for name in programs if not (ROOT / "bench" / f"{name}.py").exists()]


def test_the_errors_are_those_that_the_command_prints():
    assert (ROOT / "docs/errors.md").read_text() == error_reference()


def _used_codes():
    """Every `error_code` that a refusal is given, read from the calls."""
    found = set()
    for path in (*(ROOT / "freehold").rglob("*.py"), *(ROOT / "functions").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                found |= {
                    value.value
                    for key, value in pairs
                    if isinstance(key, ast.Constant)
                    and key.value == "error_code"
                    and isinstance(value, ast.Constant)
                }
    return found


def test_every_error_code_is_explained_and_no_other():
    used = _used_codes()
    assert used
    assert used == set(_CODES)


def test_every_kind_of_refusal_is_explained():
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| (.+) \|$", error_reference(), re.MULTILINE)
    expected = {400, 401, 403, 404, 405, 409, 413, 429, 500, 503}
    assert {int(status) for status, _, _ in rows} == expected
    assert all(meaning.endswith(".") for _, _, meaning in rows)


def test_every_command_has_help():
    commands = [
        *app.registered_commands,
        *(c for group in app.registered_groups for c in group.typer_instance.registered_commands),
    ]
    assert len(commands) == 20
    assert not [command for command in commands if not (command.callback.__doc__ or "").strip()]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_pins_with_hashes_and_names_no_host(lock):
    text = lock.read_text()
    assert "://" not in text
    assert "index-url" not in text
    pinned = re.findall(r"^([\w.-]+)==\S+", text, re.MULTILINE)
    assert len(pinned) == len(set(pinned))
    assert len(re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]) == len(pinned)
    assert all(
        "--hash=sha256:" in part
        for part in re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    )


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_holds_every_dependency_at_its_version(lock):
    text = lock.read_text()
    for requirement in PROJECT["dependencies"]:
        pin = requirement.partition(";")[0].strip()
        assert re.search(rf"^{re.escape(pin)}(?= |$)", text, re.MULTILINE), pin


@pytest.mark.parametrize(
    "script", [*SCRIPTS, ROOT / ".ci/run", ROOT / "examples/curl.sh"], ids=lambda path: path.name
)
def test_a_script_is_posix(script):
    """Any sh reads it; the words of bash alone and of GNU's tools alone are not in it."""
    text = script.read_text()
    subprocess.run(["sh", "-n", str(script)], check=True)
    for word in (
        "[[",
        "function ",
        "local ",
        "readlink -f",
        "sed -i",
        "source ",
        "echo -e",
        "==",
        "pipefail",
        "grep -P",
        "realpath",
    ):
        assert word not in text, word


def test_ci_runs_the_test_command_and_nothing_else():
    lines = [
        line for line in (ROOT / ".ci/run").read_text().splitlines() if not line.startswith("#")
    ]
    assert lines == ["set -eu", 'exec "$(dirname "$0")/../scripts/test" "$@"']


def test_the_licence_is_apache_2():
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert "not affiliated with" in (ROOT / "NOTICE").read_text()
    assert PROJECT["license"] == "Apache-2.0"
