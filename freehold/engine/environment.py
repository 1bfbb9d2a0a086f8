"""The environment of a session, as it is stored now."""

from __future__ import annotations

from freehold import keys
from freehold.documents import unpack
from freehold.domain.network import network_of
from freehold.errors import NotFound, SandboxLost
from freehold.keys import SessionKey
from freehold.ports import Blobs, Network, Records, SandboxRef
from freehold.session_doc import SessionDoc, read_doc
from freehold.wire.environments import Environment


def read_environment(
    records: Records, blobs: Blobs, workspace_id: str, doc: SessionDoc
) -> Environment | None:
    """None: it was deleted by force."""
    item = records.get([keys.environment(workspace_id, doc.environment_id)])[0]
    if item is None or "revision" not in item:
        return None
    return unpack(blobs, item, Environment)


def sandbox_network(records: Records, blobs: Blobs, sandbox: SandboxRef) -> Network:
    """Of a sandbox that is started now; a later change of the environment is for later sandboxes.
    Raises SandboxLost when the session is gone.
    """
    key = SessionKey(sandbox.workspace_id, sandbox.session_id)
    try:
        doc = read_doc(records, blobs, key).doc
    except NotFound:
        raise SandboxLost("The session was deleted.") from None
    return network_of(read_environment(records, blobs, sandbox.workspace_id, doc), doc.agent)
