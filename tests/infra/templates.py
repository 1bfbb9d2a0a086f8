"""The synthesized stacks as the tests ask about them: by what things are, never by logical id."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freehold.settings_aws import FUNCTIONS, SANDBOX_FUNCTIONS

ROOT = Path(__file__).parents[2]
ALWAYS = sorted(set(FUNCTIONS) - SANDBOX_FUNCTIONS)
"""The functions that are deployed whatever the context says, by their folders."""
STACKS = ("Data", "Engine", "Api", "Live", "Operations")
SANDBOXED = ("Data", "Sandboxes", "Engine", "Api", "Live", "Operations")
"""In the order of their deployment, where there are sandboxes."""


@dataclass(frozen=True)
class Resource:
    """One resource of a stack."""

    stack: str
    name: str
    type: str
    properties: dict[str, Any]
    body: dict[str, Any]


@dataclass(frozen=True)
class Assembly:
    """What one synthesis wrote."""

    folder: Path
    installation: str = "Freehold"
    stacks: tuple[str, ...] = STACKS
    """Without the installation's name, in the order of their deployment."""

    def template(self, stack: str) -> dict[str, Any]:
        return json.loads((self.folder / f"{self.installation}-{stack}.template.json").read_text())

    def everything(self) -> list[Resource]:
        return [
            Resource(stack, name, body["Type"], body.get("Properties", {}), body)
            for stack in self.stacks
            for name, body in self.template(stack)["Resources"].items()
        ]

    def all(self, kind: str) -> list[Resource]:
        return [resource for resource in self.everything() if resource.type == kind]

    def one(self, kind: str) -> Resource:
        (found,) = self.all(kind)
        return found

    @property
    def folders(self) -> list[str]:
        """Of `functions/`, those that these stacks are to deploy."""
        return sorted(FUNCTIONS) if "Sandboxes" in self.stacks else ALWAYS

    def functions(self, folder: str) -> list[Resource]:
        """What is deployed of a folder: of `workspaces` one for each file system."""
        return [
            function
            for function in self.all("AWS::Lambda::Function")
            if function.properties["Handler"] == handler_of(folder)
        ]

    def function(self, folder: str) -> Resource:
        (found,) = self.functions(folder)
        return found

    def consumer(self, folder: str) -> dict[str, Any]:
        """How a function is given the table's stream."""
        (found,) = [
            mapping.properties
            for mapping in self.all("AWS::Lambda::EventSourceMapping")
            if {"Ref": self.alias(folder).name} in flattened(mapping.properties["FunctionName"])
        ]
        return found

    def alias(self, folder: str) -> Resource:
        return self.alias_of(self.function(folder))

    def alias_of(self, function: Resource) -> Resource:
        """By which a function is called."""
        (found,) = [
            alias
            for alias in self.all("AWS::Lambda::Alias")
            if alias.stack == function.stack
            and alias.properties["FunctionName"] == {"Ref": function.name}
        ]
        return found

    def statements(self, role: str) -> list[dict[str, Any]]:
        """Of the policies of a role, by the role's logical id."""
        found = []
        for policy in self.all("AWS::IAM::Policy"):
            if {"Ref": role} in policy.properties["Roles"]:
                found += policy.properties["PolicyDocument"]["Statement"]
        return found

    def permissions(self, folder: str) -> dict[str, list[Any]]:
        """What a function may do: resources by action."""
        role = self.function(folder).properties["Role"]["Fn::GetAtt"][0]
        found: dict[str, list[Any]] = {}
        for statement in self.statements(role):
            assert statement["Effect"] == "Allow"
            for action in listed(statement["Action"]):
                found.setdefault(action, []).extend(listed(statement["Resource"]))
        return found

    def outputs(self, stack: str) -> dict[str, Any]:
        """Those for people; what other stacks import or read is left out."""
        found = self.template(stack).get("Outputs", {})
        return {
            name: output["Value"]
            for name, output in found.items()
            if "Export" not in output and not name.startswith("PublishOutput")
        }

    def report(self) -> dict[str, Any]:
        return json.loads((self.folder / "validation-report.json").read_text())


def handler_of(folder: str) -> str:
    """What Lambda starts for a folder of `functions/`: Python's handler, or a program."""
    program = ROOT / "functions" / folder / "run.sh"
    return f"functions/{folder}/run.sh" if program.exists() else f"functions.{folder}.index.handler"


def listed(value: Any) -> list[Any]:
    """CloudFormation writes a list of one as that one."""
    return value if isinstance(value, list) else [value]


def flattened(value: Any) -> list[Any]:
    """Every value in a piece of a template, dictionaries too."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(found for part in inner for found in flattened(part))]
