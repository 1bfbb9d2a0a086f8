"""`freehold smoke`: each step, and one line with what helps where a step fails.

Run against a laptop's server, which serves everything an installation does; tests/e2e runs it
against deployed stacks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.loopback import LoopbackServer, QuietHandler
from tests.servers import Server, server_process

STEPS = [
    *("stacks", "key", "agent", "environment", "session", "message", "idle", "events"),
    *("stream", "websocket", "clean up"),
]


def _smoke(*arguments, environment=None, json_=True):
    """Exit code, the steps, and the last line."""
    done = subprocess.run(
        [sys.executable, "-m", "freehold.cli", "smoke", "--stack", "Freehold-Data", *arguments]
        + (["--json"] if json_ else []),
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "FREEHOLD_"))},
            "AWS_CONFIG_FILE": "/dev/null",
            "NO_PROXY": "127.0.0.1",
            **(environment or {}),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert "Traceback" not in done.stderr, done.stderr
    if not json_:
        return done.returncode, done.stdout, None
    *steps, last = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, steps, last


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with server_process(tmp_path_factory.mktemp("smoke")) as found:
        yield found


def _on(server):
    return [
        *("--base-url", server.url),
        *("--websocket-url", server.url.replace("http", "ws", 1) + "/ws"),
    ]


def test_every_step_is_a_line_and_nothing_is_left(server):
    code, steps, last = _smoke(*_on(server), environment={"FREEHOLD_API_KEY": server.key})
    assert (code, last["ok"]) == (0, True), steps
    assert [step["name"] for step in steps] == STEPS
    assert {step["status"] for step in steps} == {"ok"}
    by_name = {step["name"]: step["detail"] for step in steps}
    assert by_name["stream"] == by_name["websocket"]
    assert by_name["session"].startswith("sesn_")
    for name in ("session", "environment"):
        assert server.request("GET", f"/v1/{name}s/{by_name[name]}").status_code == 404
    agent = server.request("GET", f"/v1/agents/{by_name['agent']}").json()
    assert agent["archived_at"]


def test_a_person_reads_a_line_for_each_step_and_what_helps():
    dead = ["--base-url", "http://127.0.0.1:9", "--websocket-url", "ws://127.0.0.1:9"]
    code, text, _ = _smoke(*dead, environment={"FREEHOLD_API_KEY": "any"}, json_=False)
    assert code == 1
    *steps, failed, remedy, last = text.splitlines()
    assert [line[9:22].strip() for line in steps] == ["stacks", "key"]
    assert failed.startswith("failed   agent")
    assert "does not answer" in failed
    assert remedy.strip().startswith("-> ")
    assert last.startswith("FAILED in ")


def test_a_wrong_key_is_one_line_and_says_whose_key_it_must_be(server):
    code, steps, last = _smoke(*_on(server), environment={"FREEHOLD_API_KEY": "wrong"})
    assert (code, last["ok"]) == (1, False)
    assert [step["name"] for step in steps] == ["stacks", "key", "agent"]
    assert steps[-1]["status"] == "failed"
    assert steps[-1]["detail"].startswith("401: ")
    assert "keys create --stack Freehold-Data" in steps[-1]["remedy"]


class _Refusing(QuietHandler):
    """An endpoint of the Messages API that knows no key."""

    def serve(self, _):
        error = {"type": "authentication_error", "message": "invalid x-api-key"}
        self.answer_json({"type": "error", "error": error}, 401)


def test_a_model_that_refuses_is_named_and_what_was_made_is_deleted(tmp_path):
    with (
        LoopbackServer(_Refusing) as refusing,
        server_process(
            tmp_path,
            model="anthropic",
            environment={"ANTHROPIC_BASE_URL": refusing.url, "ANTHROPIC_API_KEY": "sk-wrong"},
        ) as server,
    ):
        code, steps, _ = _smoke(*_on(server), environment={"FREEHOLD_API_KEY": server.key})
        assert code == 1
        failed, cleaned = steps[-2:]
        assert (failed["name"], failed["status"]) == ("idle", "failed")
        assert failed["remedy"] == "freehold model-key set --stack Freehold-Data"
        assert (cleaned["name"], cleaned["status"]) == ("clean up", "ok")
        assert server.request("GET", "/v1/sessions").json()["data"] == []


class _Cutting(QuietHandler):
    """Passes requests on to `server_`, but for streams, which end in the middle of a frame."""

    server_: Server

    def serve(self, body):
        if self.path.partition("?")[0].endswith("/events/stream"):
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", "1000")
            self.end_headers()
            self.wfile.write(b"event: session.status_idle_")
            return
        kept = ("authorization", "anthropic-beta", "anthropic-version", "content-type")
        headers = {name: self.headers[name] for name in kept if name in self.headers}
        found = self.server_.http.request(
            self.command, self.server_.url + self.path, headers=headers, content=body
        )
        self.answer(found.status_code, found.content, content_type=found.headers["content-type"])


def test_a_stream_that_breaks_off_is_one_line_and_what_was_made_is_deleted(server):
    with LoopbackServer(type("Own", (_Cutting,), {"server_": server})) as cutting:
        places = ["--base-url", cutting.url, "--websocket-url", "ws://127.0.0.1:9"]
        code, steps, _ = _smoke(*places, environment={"FREEHOLD_API_KEY": server.key})
    failed, cleaned = steps[-2:]
    assert (code, failed["name"], failed["status"]) == (1, "stream", "failed"), steps
    assert failed["detail"].startswith("broke off")
    assert "At 2 AM" in failed["remedy"]
    assert (cleaned["name"], cleaned["status"]) == ("clean up", "ok")


class _Denying(QuietHandler):
    """An account with every stack, whose table the caller may not write."""

    def serve(self, _):
        status, body = 200, DESCRIBED
        if self.headers.get("x-amz-target", "").startswith("DynamoDB"):
            said = "User: somebody is not authorized to perform: dynamodb:BatchGetItem"
            status, body = 400, json.dumps({"__type": "AccessDeniedException", "message": said})
        self.answer(status, body)


OUTPUTS = {
    "TableName": "Table",
    "BaseUrl": "http://127.0.0.1:9",
    "WebSocketUrl": "ws://127.0.0.1:9",
}
DESCRIBED = f"""<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
<DescribeStacksResult><Stacks><member><StackName>Freehold</StackName>
<CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus><Outputs>
{
    "".join(
        f"<member><OutputKey>{name}</OutputKey><OutputValue>{value}</OutputValue></member>"
        for name, value in OUTPUTS.items()
    )
}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"""


def test_a_table_that_may_not_be_written_is_one_line():
    with LoopbackServer(_Denying) as denying:
        environment = {
            "AWS_ENDPOINT_URL": denying.url,
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
        }
        code, steps, _ = _smoke(environment=environment)
        made = subprocess.run(
            [sys.executable, "-m", "freehold.cli", "keys", "create", "--stack", "Freehold-Data"],
            env={**os.environ, "AWS_CONFIG_FILE": "/dev/null", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert code == 1
    assert [step["name"] for step in steps] == ["stacks", "key"]
    assert "not authorized" in steps[-1]["detail"]
    assert "FREEHOLD_API_KEY" in steps[-1]["remedy"]
    (line,) = made.stderr.splitlines()
    assert line.startswith("freehold: Freehold-Data: AccessDeniedException")


def test_no_region_and_no_credentials_are_one_line():
    code, steps, _ = _smoke()
    assert code == 1
    assert [step["name"] for step in steps] == ["stacks"]
    assert "region" in steps[0]["detail"]
    assert steps[0]["remedy"] == "freehold deploy check"
