"""Synthesizes the stacks in the environment that deployments use."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.infra.templates import SANDBOXED, STACKS, Assembly

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-infra" / "bin" / "python"
APP = ("-m", "infra.app")


def synthesize(
    folder: Path,
    *,
    root: Path = ROOT,
    program: Sequence[str] = APP,
    **context: object,
) -> Assembly:
    """The assembly in `folder`, of the context in cdk.json but for what `context` replaces. `root`
    is this checkout or a copy of what is deployed from it.
    """
    wanted = {**json.loads((ROOT / "cdk.json").read_text())["context"], **context}
    done = run_program(program, folder, wanted, root=root)
    assert done.returncode == 0, done.stderr
    stacks = SANDBOXED if wanted["sandbox"] == "fargate" else STACKS
    return Assembly(folder, str(wanted["name"]), stacks)


def run_program(
    program: Sequence[str], folder: Path, context: Mapping[str, object], *, root: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """As the CDK runs it with this context; what it synthesizes is in `folder`."""
    if not PYTHON.exists():
        pytest.skip("waits for .venv-infra, which scripts/infra_environment.sh makes")
    return subprocess.run(
        [str(PYTHON), *program],
        cwd=root,
        env={
            **os.environ,
            "CDK_CONTEXT_JSON": json.dumps(context),
            "CDK_OUTDIR": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
