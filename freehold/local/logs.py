"""The server's log: one line an event, with its fields, on standard error."""

from __future__ import annotations

import json
import logging
import time

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LineFormatter(logging.Formatter):
    """`time level logger event field=value …`, then a traceback where there is one."""

    converter = time.gmtime  # type: ignore[assignment]  # as logging's documentation has it

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The fields given as `extra`, values as JSON so that none can forge a line."""
        fields = {k: v for k, v in vars(record).items() if k not in _PLAIN}
        shown = "".join(f" {k}={json.dumps(v, default=str)}" for k, v in fields.items())
        return super().formatMessage(record) + shown


def _is_news(record: logging.LogRecord) -> bool:
    """Uvicorn takes a refused handshake, answered in full, for an application that forgot to
    answer; and it shows its own stack for a text frame that is not UTF-8, which is the client's.
    """
    if isinstance(record.exc_info, tuple) and record.exc_info[0] is UnicodeDecodeError:
        record.exc_info = None
    return record.getMessage() != "ASGI callable returned without completing handshake."


def log_to_stderr() -> None:
    """Warnings of everybody, information of ours."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("freehold").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addFilter(_is_news)
