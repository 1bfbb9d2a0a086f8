"""A table as the stack makes it, clients of it, and a line to it that loses answers."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import contextmanager
from enum import Enum
from http.client import HTTPConnection
from itertools import cycle
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from freehold.adapters.dynamodb import DynamoRecords, schema
from freehold.ids import new_id
from tests.contract.aws_trouble import say
from tests.loopback import LoopbackServer, QuietHandler


def connect(url, *, total_attempts=1):
    """A client. With one attempt it repeats nothing by itself."""
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(
            connect_timeout=5,
            read_timeout=30,
            max_pool_connections=20,
            proxies={},
            retries={"mode": "standard", "total_max_attempts": total_attempts},
        ),
    )


@contextmanager
def opened(url, table):
    """`DynamoRecords` with a client of its own; `functools.partial` of it can be pickled."""
    client = connect(url)
    try:
        yield DynamoRecords(client, table)
    finally:
        client.close()


def create_table(url):
    """A new one; its name. Keys and index are those of `infra/data.py`."""
    name = new_id("table")
    names = (schema.PARTITION_KEY, schema.SORT_KEY, schema.DUE_PARTITION_KEY, schema.DUE_SORT_KEY)
    client = connect(url)
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in names],
        KeySchema=_keys(schema.PARTITION_KEY, schema.SORT_KEY),
        GlobalSecondaryIndexes=[
            {
                "IndexName": schema.DUE_INDEX,
                "KeySchema": _keys(schema.DUE_PARTITION_KEY, schema.DUE_SORT_KEY),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    client.close()
    return name


def _keys(partition, sort):
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]


class Fate(Enum):
    """What becomes of a transaction on the line."""

    KNOWN = "arrives and is answered"
    DROPPED = "applied, and the connection ends without an answer; but a refusal is answered"
    SILENT = "applied or refused, and the connection ends without an answer"
    LOST = "never arrives"
    LATE = "arrives, without an answer, right after the transaction after it"
    FAILED = "applied or refused, and answered with 500"
    BUSY = "throttled"
    CONFLICT = "refused, because it met another transaction"


class LossyLine(LoopbackServer):
    """A proxy before `url`. Transactions have `fates` in turn, for ever.

    What is sent once more under its token goes through, unless `every_attempt` has a fate of its
    own. Everything else goes through.
    """

    request_queue_size = 64

    def __init__(self, url, *fates, every_attempt=False):
        super().__init__(_Connection)
        self.met = Counter()
        """How many requests had each fate."""
        self._host = urlsplit(url).netloc
        self._fates = cycle(fates)
        self._every_attempt = every_attempt
        self._tokens = set()
        self._late = []
        self._lock = threading.Lock()

    def fate(self, token):
        with self._lock:
            is_first = token not in self._tokens
            self._tokens.add(token)
            fate = next(self._fates) if is_first or self._every_attempt else Fate.KNOWN
            self.met[fate] += 1
            return fate

    def hold(self, request):
        with self._lock:
            self._late.append(request)

    def deliver(self, headers, body):
        """The answer of the emulator: status, body, headers."""
        connection = HTTPConnection(self._host, timeout=30)
        try:
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.getheaders()
        finally:
            connection.close()

    def deliver_late(self):
        with self._lock:
            late, self._late = self._late, []
        for request in late:
            self.deliver(*request)


class _Connection(QuietHandler):
    protocol_version = "HTTP/1.1"

    def serve(self, body):
        headers = dict(self.headers.items())
        if headers["X-Amz-Target"].endswith(".TransactWriteItems"):
            self._transact(headers, body, json.loads(body))
        else:
            say(self, *self.server.deliver(headers, body))

    def _transact(self, headers, body, request):
        fate = self.server.fate(request["ClientRequestToken"])
        if fate is Fate.LATE:
            self.server.hold((headers, body))
        if fate in {Fate.LOST, Fate.LATE}:
            self.close_connection = True
            return
        if fate is Fate.BUSY:
            self._fail(400, "ThrottlingException")
            return
        if fate is Fate.CONFLICT:
            reasons = [{"Code": "None"} for _ in request["TransactItems"]]
            reasons[0] = {"Code": "TransactionConflict"}
            self._fail(400, "TransactionCanceledException", CancellationReasons=reasons)
            return
        status, *answer = self.server.deliver(headers, body)
        self.server.deliver_late()
        if fate is Fate.SILENT or (fate is Fate.DROPPED and status == 200):
            self.close_connection = True
        elif fate is Fate.FAILED:
            self._fail(500, "InternalServerError")
        else:
            say(self, status, *answer)

    def _fail(self, status, code, **more):
        answer = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": code, **more}
        say(self, status, json.dumps(answer).encode())
