"""The synthesized stacks as the tests ask about them: by what things are, never by logical id."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STACKS = ("Data",)


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

    def template(self, stack: str) -> dict[str, Any]:
        return json.loads((self.folder / f"Freehold-{stack}.template.json").read_text())

    def all(self, kind: str) -> list[Resource]:
        return [
            Resource(stack, name, body["Type"], body.get("Properties", {}), body)
            for stack in STACKS
            for name, body in self.template(stack)["Resources"].items()
            if body["Type"] == kind
        ]

    def one(self, kind: str) -> Resource:
        (found,) = self.all(kind)
        return found

    def outputs(self, stack: str) -> dict[str, Any]:
        """Those for people; exports for other stacks are left out."""
        found = self.template(stack).get("Outputs", {})
        return {name: output["Value"] for name, output in found.items() if "Export" not in output}

    def report(self) -> dict[str, Any]:
        return json.loads((self.folder / "validation-report.json").read_text())


def listed(value: Any) -> list[Any]:
    """CloudFormation writes a list of one as that one."""
    return value if isinstance(value, list) else [value]
