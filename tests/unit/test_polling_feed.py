"""Doorbells where no message can reach a process."""

from __future__ import annotations

import logging
import threading

from freehold.adapters.polling_feed import PollingFeed

SOON = 10.0


def test_a_doorbell_rings_again_and_again_until_it_is_closed():
    rings, thrice = [], threading.Event()

    def ring():
        rings.append(threading.current_thread())
        if len(rings) == 3:
            thrice.set()

    subscription = PollingFeed(seconds=0.001).subscribe("w/feed/t", ring)
    assert thrice.wait(SOON)
    subscription.close()
    rings[0].join(SOON)
    assert not rings[0].is_alive()


def test_a_doorbell_survives_a_ring_that_fails(caplog):
    rings, twice = [], threading.Event()

    def ring():
        rings.append(1)
        if len(rings) == 2:
            twice.set()
        raise ConnectionError("no table")

    with caplog.at_level(logging.ERROR, "freehold.feed"):
        subscription = PollingFeed(seconds=0.001).subscribe("w/feed/t", ring)
        assert twice.wait(SOON)
        subscription.close()
    assert "doorbell_failed" in caplog.messages


def test_previews_are_not_made_where_nobody_can_follow_them():
    feed = PollingFeed()
    shown = []
    subscription = feed.follow_previews("w/feed/t", shown.append)
    assert feed.previewed("w/feed/t") is False
    feed.preview("w/feed/t", {"type": "event_start"})
    subscription.close()
    assert shown == []
