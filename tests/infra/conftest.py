"""One synthesis for all tests of the stacks."""

from __future__ import annotations

import pytest

from tests.infra.synthesis import synthesize

SANDBOXES = {
    "sandbox": "fargate",
    "sandbox_image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/freehold-sandbox:1",
    "sandbox_s3_prefix_list": "pl-6da54004",
    "egress_image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/freehold-egress:1",
    "sandbox_file_systems": 2,
}


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


@pytest.fixture(scope="session")
def sandboxed(assembly, tmp_path_factory):
    """The same with sandboxes."""
    return synthesize(
        tmp_path_factory.mktemp("sandboxed") / "out",
        layer=str(assembly.folder.parent / "layer"),
        **SANDBOXES,
    )


@pytest.fixture(params=["assembly", "sandboxed"])
def deployed(request):
    """Each of them, for what holds of every installation."""
    return request.getfixturevalue(request.param)
