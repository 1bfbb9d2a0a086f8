"""What `cdk synth` wrote: the stacks that a deployment would make."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STACK = "aws:cloudformation:stack"


class AssemblyUnusable(Exception):
    """The message is one line for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """`stacks` are templates by the names of their stacks. `bootstrap_version` is the least that
    the CDK's own stack must have, and `bootstrap_parameter` says where its version stands.
    """

    stacks: Mapping[str, Mapping[str, Any]]
    bootstrap_version: int
    bootstrap_parameter: str

    @classmethod
    def read(cls, folder: Path) -> Assembly:
        """Raises AssemblyUnusable where there is none."""
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            found = {
                name: artifact["properties"]
                for name, artifact in manifest["artifacts"].items()
                if artifact["type"] == _STACK
            }
            return cls(
                stacks={
                    properties.get("stackName", name): json.loads(
                        (folder / properties["templateFile"]).read_text()
                    )
                    for name, properties in found.items()
                },
                bootstrap_version=max(p["requiresBootstrapStackVersion"] for p in found.values()),
                bootstrap_parameter=next(iter(found.values()))["bootstrapStackVersionSsmParameter"],
            )
        except (OSError, ValueError, KeyError, StopIteration) as error:
            raise AssemblyUnusable(f"{folder} holds no synthesized stacks") from error

    def resources(self, kind: str) -> Iterator[Mapping[str, Any]]:
        """Properties of every resource of a type."""
        for template in self.stacks.values():
            yield from _resources(template, kind)

    def reserved_concurrency(self) -> int:
        """Of all functions together."""
        return sum(reserved_concurrency(template) for template in self.stacks.values())

    def data_stack(self) -> str | None:
        """The name of the stack that has the table; None where it is not among these."""
        return next((name for name in self.stacks if name.endswith("-Data")), None)


def reserved_concurrency(template: Mapping[str, Any]) -> int:
    """Of all functions of a stack together."""
    functions = _resources(template, "AWS::Lambda::Function")
    return sum(int(f.get("ReservedConcurrentExecutions", 0)) for f in functions)


def _resources(template: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    for resource in template.get("Resources", {}).values():
        if resource["Type"] == kind:
            yield resource.get("Properties", {})
