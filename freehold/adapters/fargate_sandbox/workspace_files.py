"""The function that reaches every slot's files: save, restore, erase (functions/workspaces)."""

from __future__ import annotations

import json
from typing import Any

from freehold.adapters.aws_answers import answered
from freehold.errors import Unavailable


class WorkspaceFiles:
    """One function for each file system, since a function mounts one.

    Every method raises Unavailable when Lambda or the function fails: what was asked for may be
    done then, in part.
    """

    def __init__(self, functions: Any, arns: dict[str, str]) -> None:
        """`functions` is boto3's client for Lambda; `arns` by file system."""
        self._functions = functions
        self._arns = arns

    def begin_save(self, file_system: str, slot_id: str, name: str) -> None:
        """Begins; done once the object is there."""
        self._begin(file_system, {"save": slot_id, "object": name})

    def begin_restore(self, file_system: str, slot_id: str, name: str) -> None:
        """Begins; done once `is_restored`."""
        self._begin(file_system, {"restore": slot_id, "object": name})

    def is_restored(self, file_system: str, slot_id: str) -> bool:
        return bool(self._ask(file_system, {"look": slot_id})["is_restored"])

    def erase(self, file_system: str, slot_id: str) -> bool:
        """Whether nothing is left; else ask again, it goes on."""
        return bool(self._ask(file_system, {"erase": slot_id})["is_erased"])

    def slots(self, file_system: str) -> set[str]:
        """Ids of slots that have files there."""
        return set(self._ask(file_system, {"list": True})["slots"])

    def _begin(self, file_system: str, event: dict[str, Any]) -> None:
        with answered("Lambda"):
            self._functions.invoke(
                FunctionName=self._arns[file_system],
                InvocationType="Event",
                Payload=json.dumps(event).encode(),
            )

    def _ask(self, file_system: str, event: dict[str, Any]) -> dict[str, Any]:
        with answered("Lambda"):
            answer = self._functions.invoke(
                FunctionName=self._arns[file_system], Payload=json.dumps(event).encode()
            )
            payload = answer["Payload"].read()
        if "FunctionError" in answer:
            raise Unavailable("The function of workspaces failed.", retry_after=1)
        found: dict[str, Any] = json.loads(payload)
        return found
