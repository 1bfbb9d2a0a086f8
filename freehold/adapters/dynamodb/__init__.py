"""The table on AWS. Importing this package loads nothing of AWS: `infra` reads the schema in an
environment without boto3, so `DynamoRecords` is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freehold.adapters.dynamodb.records import DynamoRecords

__all__ = ["DynamoRecords"]


def __getattr__(name: str) -> Any:
    if name != "DynamoRecords":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from freehold.adapters.dynamodb.records import (  # noqa: PLC0415 - see above
        DynamoRecords,
    )

    return DynamoRecords
