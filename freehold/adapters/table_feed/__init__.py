"""`Feed` through the table, where no message can reach a process (ADR 0007)."""

from freehold.adapters.table_feed.feed import RING_SECONDS, TableFeed

__all__ = ["RING_SECONDS", "TableFeed"]
