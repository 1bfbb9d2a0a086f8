"""On the emulator's path when it serves the contract of the stores.

MiniStack holds the 4 MB of a transaction against the request's JSON, in which a byte string is a
third longer than in an item; DynamoDB adds up the items.
"""

from __future__ import annotations

from ministack.services import dynamodb

dynamodb._DDB_TXN_MAX_BYTES = dynamodb._DDB_TXN_MAX_BYTES * 3 // 2
