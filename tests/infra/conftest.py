"""One synthesis for all tests of the stacks."""

from __future__ import annotations

import pytest

from tests.infra.synthesis import synthesize


@pytest.fixture(scope="session")
def assembly(tmp_path_factory):
    """The context is the one of cdk.json, but for a layer that holds one empty file: what is in the
    layer does not change a template.
    """
    folder = tmp_path_factory.mktemp("cdk")
    python = folder / "layer" / "arm64" / "python"
    python.mkdir(parents=True)
    (python / "nothing.py").touch()
    return synthesize(folder / "out", layer=str(folder / "layer"))
