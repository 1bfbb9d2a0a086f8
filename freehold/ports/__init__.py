"""What the core needs from the world, as protocols, and the plain values that cross them. `App`
holds one of each.

An adapter implements one protocol. Each protocol has one contract suite in `tests/contract`, run on
every adapter.
"""

from freehold.ports.app import App
from freehold.ports.live import Connections, Feed, Run, Runs, Subscription
from freehold.ports.model import (
    BlockDone,
    BlockStarted,
    Chunk,
    Model,
    ModelRequest,
    OpenReply,
    ReplyDone,
    TextDelta,
    Usage,
    UsageSeen,
)
from freehold.ports.sandbox import Egress, EgressSocket, Network, Sandboxes, SandboxRef
from freehold.ports.store import (
    Blobs,
    Condition,
    Item,
    Page,
    Records,
    Secrets,
    Value,
    Write,
    every_item,
    known,
)
from freehold.ports.web import Web, WebCall

__all__ = [
    "App",
    "Blobs",
    "BlockDone",
    "BlockStarted",
    "Chunk",
    "Condition",
    "Connections",
    "Egress",
    "EgressSocket",
    "Feed",
    "Item",
    "Model",
    "ModelRequest",
    "Network",
    "OpenReply",
    "Page",
    "Records",
    "ReplyDone",
    "Run",
    "Runs",
    "SandboxRef",
    "Sandboxes",
    "Secrets",
    "Subscription",
    "TextDelta",
    "Usage",
    "UsageSeen",
    "Value",
    "Web",
    "WebCall",
    "Write",
    "every_item",
    "known",
]
