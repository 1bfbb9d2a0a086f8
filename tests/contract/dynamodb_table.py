"""A table as the stack makes it, clients of it, and a line to it that loses answers."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import contextmanager
from enum import Enum
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from freehold.adapters.dynamodb import DynamoRecords, schema
from freehold.ids import new_id


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


@contextmanager
def lossy_line(url, *fates, every_attempt=False):
    """A proxy before `url`, which it yields. Transactions have `fates` in turn, for ever.

    What is sent once more under its token goes through, unless `every_attempt` has a fate of its
    own. Everything else goes through.
    """
    server = _Line(url, fates, every_attempt=every_attempt)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Line(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, url, fates, *, every_attempt):
        super().__init__(("127.0.0.1", 0), _Connection)
        self.url = f"http://127.0.0.1:{self.server_port}"
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
        """The answer of the emulator: status, headers, body."""
        connection = HTTPConnection(self._host, timeout=30)
        try:
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def deliver_late(self):
        with self._lock:
            late, self._late = self._late, []
        for request in late:
            self.deliver(*request)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    """An answer in two packets would wait 40 ms for the first one's acknowledgement."""

    def do_POST(self):
        headers = dict(self.headers.items())
        body = self.rfile.read(int(headers["Content-Length"]))
        if headers["X-Amz-Target"].endswith(".TransactWriteItems"):
            self._transact(headers, body, json.loads(body))
        else:
            self._answer(*self.server.deliver(headers, body))

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
            self._answer(status, *answer)

    def _answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"connection", "content-length", "transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, status, code, **more):
        answer = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": code, **more}
        self._answer(status, [], json.dumps(answer).encode())

    def log_message(self, *_):
        """Says nothing."""
