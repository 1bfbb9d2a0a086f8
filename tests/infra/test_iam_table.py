"""docs/aws.md says who may do what to what; the templates say the same."""

from __future__ import annotations

import json
import re

from freehold.settings_aws import FUNCTIONS
from tests.infra.synthesis import ROOT
from tests.infra.templates import listed

WORDS = (
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
    roles = {folder: assembly.function(folder).properties["Role"] for folder in FUNCTIONS}
    machine = assembly.one("AWS::StepFunctions::StateMachine")
    roles["Session"] = machine.properties["RoleArn"]
    for name, role in roles.items():
        for statement in assembly.statements(role["Fn::GetAtt"][0]):
            for action in listed(statement["Action"]):
                rows = ", its own rows" if "Condition" in statement else ""
                found |= {(name, action, _word(r) + rows) for r in listed(statement["Resource"])}
    return found


def _documented():
    text = (ROOT / "docs/aws.md").read_text()
    section = text.partition("## Who may do what")[2].partition("\n## ")[0]
    found = set()
    for row in re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)[1:]:
        names, actions, resource = row
        for name in re.findall("`(.+?)`", names) or FUNCTIONS:
            found |= {(name, action, resource) for action in re.findall("`(.+?)`", actions)}
    return found


def test_the_document_and_the_templates_grant_the_same(assembly):
    granted, documented = _granted(assembly), _documented()
    assert sorted(granted - documented) == []
    assert sorted(documented - granted) == []
    assert len(granted) > 50
