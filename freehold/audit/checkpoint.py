"""A signed note of where chains ended, to keep elsewhere: against it a history that was rewritten
shows even when it was rewritten with the installation's key.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from freehold.audit.findings import Damage

if TYPE_CHECKING:
    from freehold.audit.findings import SessionFindings
    from freehold.audit.verification import Thread
    from freehold.ports import Secrets
    from freehold.toolset import JsonObject

_VERSION = 1


class NotACheckpoint(Exception):
    """The message is one line for the person at the terminal."""


def checkpoint(found: Sequence[SessionFindings], at: str, secrets: Secrets) -> JsonObject:
    """Where every thread of sessions without damage ends. `at` is a timestamp."""
    content: JsonObject = {
        "v": _VERSION,
        "at": at,
        "sessions": {
            session.session_id: {
                thread.thread_id: {"version": thread.commits - 1, "hash": thread.hash}
                for thread in session.threads
            }
            for session in found
        },
    }
    signature = secrets.sign(_message(content))
    return {
        **content,
        "public_key": base64.b64encode(secrets.public_key()).decode(),
        "signature": base64.b64encode(signature).decode(),
    }


def read_checkpoint(text: str, secrets: Secrets) -> Mapping[str, Any]:
    """Its sessions: by id, threads with the version and hash of their last commit.

    Raises NotACheckpoint for what this installation did not sign. Ed25519 has one signature for a
    message, so that signing again tells.
    """
    try:
        given: Any = json.loads(text)
        content = {name: given[name] for name in ("v", "at", "sessions")}
        signature = base64.b64decode(given["signature"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise NotACheckpoint("that is no checkpoint of `freehold audit verify --export`") from None
    if content["v"] != _VERSION:
        raise NotACheckpoint(f"the checkpoint has version {content['v']}: use a newer freehold")
    if signature != secrets.sign(_message(content)):
        raise NotACheckpoint("the checkpoint was altered, or another installation signed it")
    sessions: Mapping[str, Any] = content["sessions"]
    return sessions


def compare(expected: Mapping[str, Any], threads: Mapping[str, Thread]) -> list[Damage]:
    """What a session's threads lack of a checkpoint, or have otherwise."""
    damage = []
    for thread_id, place in expected.items():
        thread, version = threads.get(thread_id), place["version"]
        if thread is None:
            damage.append(Damage("deleted", thread_id, None, "the checkpoint has this thread"))
            continue
        commit = thread.commits.get(version)
        if commit is None:
            text = "the checkpoint ends here, and the commit is gone"
            damage.append(Damage("truncated", thread_id, version, text))
        elif commit.hash.hex() != place["hash"]:
            damage.append(Damage("rewritten", thread_id, version, "the checkpoint has another one"))
    return damage


def _message(content: JsonObject) -> bytes:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return b"freehold/checkpoint/" + canonical.encode()
