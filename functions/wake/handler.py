"""Starts the run of every thread that the table's stream shows to have begun running (DESIGN 5).

The API starts it as well, right after its append; what that start lost, this one makes good. Both
name the same execution, so the second is a no-op.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord

from freehold.domain.session import BUSY
from freehold.keys import Key, parse_head
from freehold.ports import Run, Runs

_log = logging.getLogger("freehold.wake")

Image = Mapping[str, Any]


def make_handler(runs: Runs) -> Callable[[Any, Any], Mapping[str, Any]]:
    """Takes a batch of stream records of heads; answers which of them to deliver again.

    It needs no more of the world than `runs`: it reads nothing but the record.
    """

    def start(record: DynamoDBRecord) -> None:
        run = begun(record)
        if run is None:
            return
        is_known = runs.start(run)
        fields = {"session_id": run.session_id, "run": run.name, "closed": not is_known}
        _log.info("run_woken", extra=fields)

    def handler(event: Any, context: Any) -> Mapping[str, Any]:
        processor = BatchProcessor(EventType.DynamoDBStreams, raise_on_entire_batch_failure=False)
        return process_partial_response(
            event=event, record_handler=start, processor=processor, context=context
        )

    return handler


def begun(record: DynamoDBRecord) -> Run | None:
    """The run that a head has just been given; None while it goes on with the one it had.

    A head is written several times a turn, and only its first write under a new name starts
    anything.
    """
    change = record.dynamodb
    if change is None or not change.keys or not change.new_image:
        return None
    new, old = change.new_image, change.old_image or {}
    if new["status"] not in BUSY or _name(old) == _name(new):
        return None
    key, thread_id = parse_head(Key(change.keys["pk"], change.keys["sk"]))
    epoch, leg = _name(new)
    return Run(key.workspace_id, key.session_id, thread_id, epoch, leg)


def _name(head: Image) -> tuple[int, int]:
    """What tells one run of a thread from another; of no head, what none has."""
    return int(head.get("epoch", -1)), int(head.get("leg", -1))
