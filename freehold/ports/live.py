"""Runs of the state machine, and those who follow what happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from freehold.toolset import JsonObject


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of the state machine. `name` is used once for ever."""

    workspace_id: str
    session_id: str
    thread_id: str
    epoch: int
    leg: int

    @property
    def name(self) -> str:
        return f"{self.thread_id}-{self.epoch}-{self.leg}"


class Runs(Protocol):
    def start(self, run: Run) -> bool:
        """True when it was started or is open already, False when an execution of that name has
        closed.
        """


class Subscription(Protocol):
    def close(self) -> None: ...


class Feed(Protocol):
    """Live delivery. Doorbells say *look at the log*; they carry nothing and may ring too often,
    never too seldom.

    A topic is the partition of a thread's log (`keys.feed`). Callbacks come from any thread and
    must not block.
    """

    def subscribe(self, topic: str, ring: Callable[[], None]) -> Subscription: ...

    def preview(self, topic: str, frame: JsonObject) -> None:
        """Best effort: hands an `event_start` or `event_delta` to whoever previews this topic now.
        Deltas that follow each other may arrive as one. Never waits.
        """

    def follow_previews(self, topic: str, deliver: Callable[[JsonObject], None]) -> Subscription:
        """What is previewed once this has returned is delivered, as far as previews are. May wait
        for the store.
        """

    def previewed(self, topic: str) -> bool:
        """Whether anybody may follow previews of this topic. Never waits: the model's reader asks
        for every piece of text.
        """


class Connections(Protocol):
    """WebSockets that a gateway holds open for functions that come and go, by the gateway's ids.
    Threads share an instance.
    """

    def post(self, connection_id: str, text: str) -> None:
        """Sends one message, of at most 128 KB. Raises ConnectionGone, ConnectionBusy."""

    def close(self, connection_id: str) -> None:
        """Ends the connection, if it is there. Best effort: one that stays is sent nothing."""
