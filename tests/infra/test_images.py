"""The stack that builds images: what is sent, what is built, who may push, what is kept."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.infra.synthesis import ROOT, synthesize
from tests.infra.templates import flattened, listed


@pytest.fixture(scope="module")
def images(assembly, tmp_path_factory):
    made = synthesize(
        tmp_path_factory.mktemp("images") / "out",
        layer=str(assembly.folder.parent / "layer"),
        build_images="codebuild",
    )
    return dataclasses.replace(made, stacks=("Images",))


def test_nothing_is_built_unless_asked(assembly):
    assert not list(assembly.folder.glob("*Images*"))


def test_repositories_scan_and_forget(images):
    repositories = images.all("AWS::ECR::Repository")
    assert len(repositories) == 2
    for found in repositories:
        assert found.properties["ImageScanningConfiguration"] == {"ScanOnPush": True}
        rules = json.loads(found.properties["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
        kinds = {rule["selection"]["countType"] for rule in rules}
        assert kinds == {"sinceImagePushed", "imageCountMoreThan"}
        assert "RepositoryPolicyText" not in found.properties


def test_both_images_are_built_for_the_machine_that_runs_them(images):
    project = images.one("AWS::CodeBuild::Project").properties
    environment = project["Environment"]
    # As cdk.json says of all functions and tasks.
    assert environment["Type"] == "ARM_CONTAINER"
    assert environment["PrivilegedMode"] is True
    assert not environment.get("EnvironmentVariables")
    assert project["ConcurrentBuildLimit"] == 1
    steps = json.dumps(project["Source"]["BuildSpec"])
    for dockerfile in ("sandbox_task/Dockerfile", "egress_proxy/Dockerfile"):
        assert (ROOT / dockerfile).exists()
        assert f"--file {dockerfile} ." in steps
    assert steps.count("docker build") == steps.count("docker push") == 2
    outputs = images.outputs("Images")
    for name in ("SandboxImage", "EgressImage"):
        text = json.dumps(outputs[name])
        assert "Repository" in text or "GetAtt" in text
    assert "codebuild start-build" in json.dumps(outputs["BuildImages"])


def test_the_build_may_push_to_its_repositories_and_nothing_else(images):
    (role,) = [
        found.name
        for found in images.all("AWS::IAM::Role")
        if "codebuild.amazonaws.com" in json.dumps(found.properties)
    ]
    repositories = {found.name for found in images.all("AWS::ECR::Repository")}
    for statement in images.statements(role):
        assert statement["Effect"] == "Allow"
        actions = set(listed(statement["Action"]))
        resources = listed(statement["Resource"])
        if any(action.startswith("ecr:") for action in actions):
            if actions == {"ecr:GetAuthorizationToken"}:
                assert resources == ["*"]
                continue
            named = {part["Fn::GetAtt"][0] for part in resources}
            assert named == repositories
            assert not [action for action in actions if "Delete" in action or "*" in action]
        else:
            assert "*" not in resources
            kinds = {action.partition(":")[0] for action in actions}
            assert kinds <= {"logs", "s3"}, actions
    assert "iam:PassRole" not in json.dumps(flattened(images.template("Images")))


def test_what_is_sent_is_what_the_images_copy(images):
    assets = json.loads((images.folder / "Freehold-Images.assets.json").read_text())["files"]
    (folder,) = [
        images.folder / found["source"]["path"]
        for found in assets.values()
        if found["source"]["packaging"] == "zip"
    ]
    sent = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    locks = {path.name for path in ROOT.glob("requirements-*.lock")}
    assert sent == {"egress_proxy", "freehold", "sandbox_task", *locks}
    assert {path.name for path in (folder / "freehold").iterdir()} == {"toolset"}
    assert (folder / "sandbox_task/Dockerfile").read_bytes() == (
        ROOT / "sandbox_task/Dockerfile"
    ).read_bytes()
    assert not list(folder.rglob("__pycache__"))


def test_findings_have_their_reasons(images):
    assert not [
        found
        for found in images.report().get("pluginReports", [])
        if found.get("conclusion") == "failure"
    ]
