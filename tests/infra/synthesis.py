"""Synthesizes the stacks in the environment that deployments use."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.infra.templates import SANDBOXED, STACKS, Assembly

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-infra" / "bin" / "python"


def synthesize(
    folder: Path,
    *,
    root: Path = ROOT,
    program: Sequence[str] = ("-m", "infra.app"),
    **context: object,
) -> Assembly:
    """The assembly in `folder`, of the context in cdk.json but for what `context` replaces. `root`
    is this checkout or a copy of what is deployed from it.
    """
    if not PYTHON.exists():
        pytest.skip("waits for .venv-infra, which scripts/infra_environment.sh makes")
    wanted = {**json.loads((ROOT / "cdk.json").read_text())["context"], **context}
    done = subprocess.run(
        [str(PYTHON), *program],
        cwd=root,
        env={
            **os.environ,
            "CDK_CONTEXT_JSON": json.dumps(wanted),
            "CDK_OUTDIR": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    stacks = SANDBOXED if wanted["sandbox"] == "fargate" else STACKS
    return Assembly(folder, str(wanted["name"]), stacks)
