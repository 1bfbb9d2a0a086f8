"""The security rules run at every synthesis, and what stands against them has a reason."""

from __future__ import annotations

import json

from tests.infra.synthesis import run_program

UNACKNOWLEDGED = """
from infra import acknowledged
acknowledged.acknowledge = lambda *finding: None
from infra import app
app.main()
"""


def _reasons(assembly):
    found = {}
    for stack in assembly.stacks:
        metadata = json.loads((assembly.folder / f"Freehold-{stack}.metadata.json").read_text())
        for path, entries in metadata.items():
            for entry in entries:
                if entry["type"] == "aws:cdk:acknowledged-rules":
                    found.update({(path, rule): why for rule, why in entry["data"].items()})
    return found


def test_each_finding_that_stands_has_its_reason(assembly):
    reasons = _reasons(assembly)
    assert len(reasons) > 10
    for (path, rule), why in reasons.items():
        assert "AwsSolutions-" in rule, path
        assert len(why.split()) > 5, (path, rule)


def test_no_finding_about_permissions_stands_for_more_than_one_resource(assembly):
    for path, rule in _reasons(assembly):
        if "-IAM" in rule:
            assert rule.endswith("]"), (path, rule)


def test_an_unacknowledged_finding_ends_the_synthesis(assembly, tmp_path):
    context = {"layer": str(assembly.folder.parent / "layer")}
    done = run_program(["-c", UNACKNOWLEDGED], tmp_path / "out", context)
    assert done.returncode != 0
    for rule in ("IAM5[Resource::*]", "APIG4", "SMG4", "S1", "SF1"):
        assert f"AwsSolutions-{rule}" in done.stdout + done.stderr
