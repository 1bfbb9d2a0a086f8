"""`Records` in one SQLite file: the embedded default. Durable, and as strict as DynamoDB."""

from freehold.adapters.sqlite.connections import StoreUnusable
from freehold.adapters.sqlite.migration import Migrated, migrate, stored_version
from freehold.adapters.sqlite.records import SqliteRecords

__all__ = ["Migrated", "SqliteRecords", "StoreUnusable", "migrate", "stored_version"]
