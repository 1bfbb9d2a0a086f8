"""The database of a data directory: where it is, and that it has this release's schema version."""

from __future__ import annotations

import logging
from pathlib import Path

from freehold.adapters.sqlite import Migrated, migrate

_log = logging.getLogger("freehold.store")


def bring_up_to_date(data_dir: Path) -> Migrated | None:
    """None where it is already, or there is none yet. The caller holds the directory's lock.

    Raises StoreUnusable, with the database as it was.
    """
    migrated = migrate(data_dir / "freehold.db")
    if migrated is not None:
        fields = {"from_version": migrated.before, "backup": str(migrated.backup)}
        _log.warning("store_migrated", extra=fields)
    return migrated
