"""One synthesis for all tests of the stacks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.infra.synthesis import synthesize

SANDBOXES = {
    "sandbox": "fargate",
    "sandbox_image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/freehold-sandbox:1",
    "sandbox_s3_prefix_list": "pl-6da54004",
    "egress_image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/freehold-egress:1",
    "sandbox_file_systems": 2,
}

SERVICE = {
    "stream_service": "true",
    "stream_service_certificate_arn": "arn:aws:acm:eu-west-1:123456789012:certificate/1",
    "stream_service_metrics_port": "9464",
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


@pytest.fixture(scope="session")
def served(assembly, tmp_path_factory):
    """The same with the stream service, which is the last of its stacks."""
    found = synthesize(
        tmp_path_factory.mktemp("served") / "out",
        layer=str(assembly.folder.parent / "layer"),
        **SERVICE,
    )
    return replace(found, stacks=(*found.stacks, "StreamService"))


@pytest.fixture(params=["assembly", "sandboxed"])
def deployed(request):
    """Each of them, for what holds of every installation."""
    return request.getfixturevalue(request.param)
