"""Doorbells and previews, brought from any thread to the event loop and to all who follow."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from freehold.domain.session import Head
from freehold.keys import SessionKey
from freehold.ports import App, Subscription
from freehold.services.live import Follower
from freehold.services.tail import Fetched, Frame, Tail
from freehold.toolset import JsonObject

_READERS = 8
_UNSENT_PREVIEWS = 4096
PING = Frame("ping", '{"type":"ping"}')


class Hub:
    """The feeds that somebody follows in this process. Belongs to one event loop."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.readers = ThreadPoolExecutor(_READERS, thread_name_prefix="reader")
        self.is_closing = False
        self._topics: dict[str, _Topic] = {}

    def follow(
        self,
        key: SessionKey,
        head: Head,
        cursor: int,
        wanted: frozenset[str] = frozenset(),
    ) -> Following:
        """Everything of a thread after `cursor`, previews of the `wanted` types among it. `head`
        was read before. Close it.
        """
        name = key.feed(head.thread_id)
        end = head.next_seq - 1
        topic = self._topics.get(name)
        if topic is None:
            tail = Tail(self.app, key, head.thread_id, end)
            topic = self._topics[name] = _Topic(self, name, tail)
        last = end if head.status == "terminated" else None
        following = Following(self, topic, Follower(topic.tail, cursor, last=last, wanted=wanted))
        topic.join(following)
        return following

    def leave(self, topic: _Topic, following: Following) -> None:
        """Forgets a feed with its last follower."""
        topic.part(following)
        if not topic.followings:
            topic.close()
            self._topics.pop(topic.name, None)

    def close(self) -> None:
        """Ends every stream; nothing can be followed any more."""
        self.is_closing = True
        for topic in self._topics.values():
            topic.wake()

    def release(self) -> None:
        """Lets go of the reader threads, once the loop has ended."""
        self.readers.shutdown(wait=False, cancel_futures=True)


class _Topic:
    """One followed feed: a subscription, a tail, and at most one reading of the log at a time."""

    def __init__(self, hub: Hub, name: str, tail: Tail) -> None:
        self.name = name
        self.tail = tail
        self.followings: set[Following] = set()
        self.error: BaseException | None = None
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._previews: deque[JsonObject] = deque()
        self._is_stale = True
        self._is_reading = False
        self._is_called = False
        self._has_dropped = False
        self._doorbell = hub.app.feed.subscribe(name, self._ring)
        self._previewing: asyncio.Future[Subscription] | None = None
        self._loop.call_soon(self._advance)

    def join(self, following: Following) -> None:
        self.followings.add(following)
        if following.follower.wants_previews and self._previewing is None:
            follow = self._hub.app.feed.follow_previews
            self._previewing = self._loop.run_in_executor(
                self._hub.readers, follow, self.name, self._preview
            )

    def part(self, following: Following) -> None:
        self.followings.discard(following)
        if self._previewing and not any(f.follower.wants_previews for f in self.followings):
            self._previewing.add_done_callback(lambda previewing: previewing.result().close())
            self._previewing = None

    async def previewing(self) -> None:
        """Returns once previews arrive here, where anybody wants them."""
        if self._previewing is not None:
            await asyncio.shield(self._previewing)

    def close(self) -> None:
        self._doorbell.close()

    def look(self) -> None:
        """Reads the log although nobody rang: a doorbell that was lost costs a ping's time, no
        more.
        """
        self._is_stale = True
        self._advance()

    def wake(self) -> None:
        for following in self.followings:
            following.bell.set()

    # ------------------------------------------------------------ from any thread
    def _ring(self) -> None:
        self._is_stale = True
        self._call()

    def _preview(self, frame: JsonObject) -> None:
        if len(self._previews) >= _UNSENT_PREVIEWS:
            # The loop is that far behind. Without the rest what was sent stays a prefix.
            self._has_dropped = True
        if self._has_dropped and frame["type"] != "event_start":
            return
        self._has_dropped = False
        self._previews.append(frame)
        self._call()

    def _call(self) -> None:
        """One call into the loop for any number of rings. `_is_called` falls before the loop looks,
        so a ring that finds it set is seen.
        """
        if not self._is_called:
            self._is_called = True
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:
                self._is_called = False  # the loop has ended, and with it every follower

    # ------------------------------------------------------------ in the loop
    def _answer(self) -> None:
        self._is_called = False
        self._advance()

    def _advance(self) -> None:
        if self._previews:
            self._hand_out()
            self.wake()
        if self._is_stale and not self._is_reading:
            self._is_stale, self._is_reading = False, True
            future = self._loop.run_in_executor(self._hub.readers, self.tail.fetch)
            future.add_done_callback(self._fetched)

    def _fetched(self, future: asyncio.Future[Fetched]) -> None:
        self._is_reading = False
        if future.cancelled():
            return
        self.error = future.exception()
        if self.error is None:
            self.tail.keep(future.result())
            self._is_stale = self._is_stale or future.result().more
        # Previews were made before the event they announce was written: they are here by now.
        self._hand_out()
        self.wake()
        self._advance()

    def _hand_out(self) -> None:
        previewing = [f.follower for f in self.followings if f.follower.wants_previews]
        while self._previews:
            frame = self._previews.popleft()
            for follower in previewing:
                follower.offer(frame)


class Following:
    """One client's place in a feed, to be awaited by its connection."""

    def __init__(self, hub: Hub, topic: _Topic, follower: Follower) -> None:
        self.bell = asyncio.Event()
        self.follower = follower
        self._hub = hub
        self._topic = topic
        self._is_left = False

    async def frames(self) -> list[Frame]:
        """What comes next, at least one frame: a ping when nothing does for a while. Empty at the
        end.

        Raises what went wrong while reading the log.
        """
        while not (self._is_left or self._hub.is_closing):
            self.bell.clear()
            found = self.follower.take()
            if found is None:
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(self._hub.readers, self.follower.read)
                if not found:
                    continue
            if found or self.follower.is_over:
                return found
            if self._topic.error is not None:
                raise self._topic.error
            if not await self._rung():
                self._topic.look()
                return [PING]
        return []

    async def ready(self) -> None:
        """Returns once what is previewed from then on reaches this client."""
        if self.follower.wants_previews:
            await self._topic.previewing()

    def close(self) -> None:
        """At once and for good; a waiting `frames` ends."""
        if not self._is_left:
            self._is_left = True
            self.bell.set()
            self._hub.leave(self._topic, self)

    async def _rung(self) -> bool:
        try:
            async with asyncio.timeout(self._hub.app.settings.ping_seconds):
                await self.bell.wait()
        except TimeoutError:
            return False
        return True
