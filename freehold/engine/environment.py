"""The environment of a session, as it is stored now."""

from __future__ import annotations

from freehold import keys
from freehold.documents import unpack
from freehold.domain.network import network_of
from freehold.domain.packages import packages_of
from freehold.errors import NotFound, SandboxLost
from freehold.keys import SessionKey
from freehold.ports import Blobs, Network, Records, SandboxRef
from freehold.session_doc import SessionDoc, read_doc
from freehold.toolset.packages import Packages
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
    doc = _doc(records, blobs, sandbox)
    return network_of(read_environment(records, blobs, sandbox.workspace_id, doc), doc.agent)


def sandbox_packages(records: Records, blobs: Blobs, sandbox: SandboxRef) -> Packages:
    """As `sandbox_network`."""
    doc = _doc(records, blobs, sandbox)
    return packages_of(read_environment(records, blobs, sandbox.workspace_id, doc))


def _doc(records: Records, blobs: Blobs, sandbox: SandboxRef) -> SessionDoc:
    try:
        return read_doc(records, blobs, SessionKey(sandbox.workspace_id, sandbox.session_id)).doc
    except NotFound:
        raise SandboxLost("The session was deleted.") from None
