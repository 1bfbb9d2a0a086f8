"""One synthesis for all tests of the stacks, in the environment that deployments use."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.infra.templates import Assembly

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-infra" / "bin" / "python"


@pytest.fixture(scope="session")
def assembly(tmp_path_factory):
    """The context is the one of cdk.json, but for a layer that holds one empty file: what is in the
    layer does not change a template.
    """
    if not PYTHON.exists():
        pytest.skip("waits for .venv-infra, which scripts/infra_environment.sh makes")
    folder = tmp_path_factory.mktemp("cdk")
    python = folder / "layer" / "arm64" / "python"
    python.mkdir(parents=True)
    (python / "nothing.py").touch()
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    context["layer"] = str(folder / "layer")
    done = subprocess.run(
        [str(PYTHON), "-m", "infra.app"],
        cwd=ROOT,
        env={
            **os.environ,
            "CDK_CONTEXT_JSON": json.dumps(context),
            "CDK_OUTDIR": str(folder / "out"),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return Assembly(folder / "out")
