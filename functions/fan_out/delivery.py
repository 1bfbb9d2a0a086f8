"""One feed, brought to the connections that follow it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from freehold.errors import ConnectionBusy, ConnectionGone
from freehold.keys import SessionKey
from freehold.services import followers
from freehold.services.connections import end, forget
from freehold.services.followers import MAX_ATTEMPTS, Listener
from freehold.services.tail import LAST, Frame, Tail
from functions.fan_out.previews import choose
from functions.socket import frames
from functions.socket.farewell import part

if TYPE_CHECKING:
    from freehold.ports import App, Connections
    from freehold.toolset import JsonObject

_MOMENT = 1.0
"""Seconds that one connection may keep a batch waiting."""
_PAGES = 8
"""Of a feed at a time, about a megabyte each: who stands where nobody else does reads alone."""


class Delivery:
    """Reads the feed once for all who stand at the same place. Threads share an instance, each with
    a listener of its own.
    """

    def __init__(self, app: App, connections: Connections, *, is_preview: bool) -> None:
        """`is_preview`: nothing but previews rang, which no end of a session follows."""
        self._app = app
        self._connections = connections
        self._is_preview = is_preview
        self._pages: dict[int, list[Frame]] = {}
        self._reading = threading.Lock()

    def serve(self, listener: Listener, previews: Sequence[tuple[str, list[JsonObject]]]) -> None:
        """Sends what it has not been sent, then the previews that it wants.

        Two of these may serve one connection at a time, and then events repeat. Each sends an
        ascending piece without holes that begins at or before what was sent, so none is skipped.
        """
        try:
            now = self._catch_up(listener)
            if now is not None and now.wanted and now.attempts == 0:
                self._preview(now, previews)
        except ConnectionGone:
            end(self._app, listener)
            forget(self._app, listener.connection_id)

    # ------------------------------------------------------------ events
    def _catch_up(self, listener: Listener) -> Listener | None:
        """How the listener stands at the end of the log; None when its turn is over before."""
        until = time.monotonic() + _MOMENT
        now = listener
        while page := self._page(now):
            sent, is_cut = self._post(now, page, until)
            if not is_cut and (sent.cursor == sent.last or page[-1].type in LAST):
                end(self._app, sent)
                return None
            stands = now
            if sent.cursor > now.cursor:
                moved = followers.advance(self._app, now, replace(sent, attempts=0))
                if moved is None:
                    return None
                stands = moved
            if is_cut:
                self._put_off(stands)
                return None
            now = stands
        if now.attempts:
            followers.recover(self._app, now)
        return now

    def _page(self, listener: Listener) -> list[Frame]:
        """What follows its cursor, up to the last that the feed has; of a session that is deleted,
        that it is.
        """
        with self._reading:
            found = self._pages.get(listener.cursor)
            if found is None:
                found = self._read(listener)
                if len(self._pages) == _PAGES:
                    del self._pages[next(iter(self._pages))]
                self._pages[listener.cursor] = found
            return found

    def _read(self, listener: Listener) -> list[Frame]:
        key = SessionKey(listener.caller.workspace_id, listener.session_id)
        tail = Tail(self._app, key, listener.thread_id, listener.cursor)
        found = tail.read(listener.cursor)
        if not found and not self._is_preview:
            deleted = tail.fetch().deleted
            return [] if deleted is None else [deleted]
        ends = [n for n, frame in enumerate(found, 1) if frame.type in LAST]
        return found[: ends[0]] if ends else found

    def _post(
        self, listener: Listener, page: Sequence[Frame], until: float
    ) -> tuple[Listener, bool]:
        """How it stands after what it took, and whether it did not take all of it."""
        now = listener
        for frame in page:
            if now is not listener and time.monotonic() > until:
                return now, True
            try:
                self._connections.post(now.connection_id, _text(now, frame))
            except ConnectionBusy:
                return now, True
            now = _after(now, frame)
        return now, False

    def _put_off(self, listener: Listener) -> None:
        """Whoever takes nothing for long is let go, and comes back for the rest. One that has moved
        stands without attempts.
        """
        attempts = listener.attempts + 1
        if attempts >= MAX_ATTEMPTS:
            part(self._app, self._connections, listener.connection_id, None)
        else:
            followers.put_off(self._app, listener, attempts=attempts)

    # ------------------------------------------------------------ previews
    def _preview(
        self, listener: Listener, previews: Sequence[tuple[str, list[JsonObject]]]
    ) -> None:
        """Each item once or, after a crash, not at all: a preview said twice would be wrong, one
        that ends early is a prefix.
        """
        now = listener
        for item_id, given in previews:
            chosen, started = choose(now, given)
            if not chosen or item_id < now.previewed:
                continue
            if item_id == now.previewed:
                followers.stop_previews(self._app, now)
                return
            taken = followers.take_up(self._app, now, item_id, started)
            if taken is None:
                return
            if not self._post_previews(taken, chosen):
                followers.stop_previews(self._app, taken)
                return
            now = taken

    def _post_previews(self, listener: Listener, chosen: Sequence[Frame]) -> bool:
        """Whether it took all of them."""
        for frame in chosen:
            text = _text(listener, frame)
            if frames.is_too_large(text):
                return False
            try:
                self._connections.post(listener.connection_id, text)
            except ConnectionBusy:
                return False
        return True


def _text(listener: Listener, frame: Frame) -> str:
    where = listener.session_id, listener.thread_id
    text = frames.followed(*where, frame)
    return frames.stub(*where, frame) if _is_stub(frame, text) else text


def _is_stub(frame: Frame, text: str) -> bool:
    return frame.seq is not None and frames.is_too_large(text)


def _after(listener: Listener, frame: Frame) -> Listener:
    """How it stands once it was sent an event."""
    now = replace(listener, cursor=frame.seq or listener.cursor)
    if frame.type == "span.model_request_start":
        return replace(now, span=frame.event_id, started=())
    if frame.type == "span.model_request_end":
        return replace(now, span="", started=())
    if frame.event_id in now.started:
        return replace(now, started=tuple(e for e in now.started if e != frame.event_id))
    return now
