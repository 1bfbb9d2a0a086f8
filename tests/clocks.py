"""Clocks for the parts that are given one."""

from __future__ import annotations

from datetime import timedelta

from freehold.ids import now


class Clock:
    """The time, and what a test put it ahead."""

    def __init__(self):
        self.ahead = timedelta()

    def __call__(self):
        return now() + self.ahead


class StandingClock:
    """Stands `at` a time, or at a number of seconds, until a test moves it."""

    def __init__(self, at):
        self.at = at

    def __call__(self):
        return self.at
