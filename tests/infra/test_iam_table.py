"""docs/aws.md says who may do what to what; the templates say the same."""

from __future__ import annotations

import json
import re

from tests.infra.synthesis import ROOT
from tests.infra.templates import ALWAYS, listed

WORDS = (
    ("ExecutionRole", "execution role"),
    (r":task/", "tasks"),
    (r":task-definition/\w+-egress", "family of the proxy"),
    (r":task-definition/", "families of slots"),
    (":access-point/", "access points"),
    ("FileSystem", "file systems"),
    (r"Bucket83908E77.*/transfers/", "what is on its way"),
    (r"Bucket83908E77.*/archives/", "archives"),
    (r"Bucket83908E77.*/packages/", "installed packages"),
    (r"Bucket83908E77", "bucket of sandboxes"),
    (r"DispatchLive", "dispatch"),
    (r"Workspaces\dLive", "workspaces"),
    (":repository/", "repository of the image"),
    (r'^"\*"$', "anything"),
    ("StreamArn", "stream"),
    ("/index/", "index"),
    ("execute-api", "connections"),
    (r"Table\w+Arn", "table"),
    (r"Blobs\w+Arn.*/\*", "blobs"),
    (r"Blobs\w+Arn", "bucket"),
    (r"Key961B73FD|ExportsOutputFnGetAttKey", "key"),
    (r"Failures\w+", "failures"),
    ("ModelKey", "model key"),
    (":stateMachine:|Session88DA29BA", "state machine"),
    (r'"Log\w+", "Arn"|Log\w+', "own log"),
    (r"Live\w+", "live functions"),
)
"""What a resource of a statement is called in the document, by what its JSON looks like."""


def _word(resource):
    text = json.dumps(resource)
    return next(word for pattern, word in WORDS if re.search(pattern, text))


def _granted(assembly):
    """(role, action, resource) of every statement of a function's role and the state machine's."""
    found = set()
    roles = [
        (folder, function.properties["Role"]["Fn::GetAtt"][0])
        for folder in assembly.folders
        for function in assembly.functions(folder)
    ]
    machine = assembly.one("AWS::StepFunctions::StateMachine")
    roles.append(("Session", machine.properties["RoleArn"]["Fn::GetAtt"][0]))
    for name, role in [*roles, *_of_tasks(assembly)]:
        for statement in assembly.statements(role):
            for action in listed(statement["Action"]):
                rows = ", its own rows" if "Condition" in statement else ""
                found |= {(name, action, _word(r) + rows) for r in listed(statement["Resource"])}
    return found


def _of_tasks(assembly):
    """The roles by which ECS starts the tasks of sandboxes, and the proxy's."""
    return [
        ("ExecutionRole", role.name)
        for role in assembly.all("AWS::IAM::Role")
        if role.stack == "Sandboxes"
        and "ecs-tasks" in json.dumps(role.properties["AssumeRolePolicyDocument"])
    ]


def _documented(heading):
    text = (ROOT / "docs/aws.md").read_text()
    section = text.partition(heading)[2].partition("\n#")[0]
    found = set()
    for row in re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)[1:]:
        names, actions, resource = row
        for name in re.findall("`(.+?)`", names) or ALWAYS:
            found |= {(name, action, resource) for action in re.findall("`(.+?)`", actions)}
    return found


def test_the_document_and_the_templates_grant_the_same(assembly):
    granted, documented = _granted(assembly), _documented("## Who may do what")
    assert sorted(granted - documented) == []
    assert sorted(documented - granted) == []
    assert len(granted) > 50


def test_the_document_says_what_sandboxes_add(assembly, sandboxed):
    added, documented = _granted(sandboxed) - _granted(assembly), _documented("### With sandboxes")
    assert sorted(added - documented) == []
    assert sorted(documented - added) == []
    assert len(added) > 50
