"""`freehold model-key set`, against CloudFormation and Secrets Manager as their APIs describe
them.
"""

from __future__ import annotations

import io
import json
from urllib.parse import parse_qs

import pytest
import typer

from freehold.cli.model_key import model_key
from freehold.cli.terminal import CommandFailed
from tests.loopback import LoopbackServer, QuietHandler

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ModelKey"
KEY = "sk-test-0123456789"
DESCRIBED = f"""<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
<DescribeStacksResult><Stacks><member><StackName>Freehold-Data</StackName>
<CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus>
<Outputs><member><OutputKey>ModelKeySecretArn</OutputKey><OutputValue>{ARN}</OutputValue></member>
</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"""
MISSING = """<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error>
<Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id Other does not exist</Message>
</Error><RequestId>1</RequestId></ErrorResponse>"""


class Account(QuietHandler):
    """One stack, one secret."""

    stored: list

    def serve(self, body):
        target = self.headers.get("x-amz-target", "")
        if target == "secretsmanager.PutSecretValue":
            self.stored.append(json.loads(body))
            self.answer_json({"ARN": ARN, "Name": "ModelKey"})
        elif parse_qs(body.decode())["StackName"] == ["Freehold-Data"]:
            self.answer(200, DESCRIBED)
        else:
            self.answer(400, MISSING)


@pytest.fixture
def stored(monkeypatch):
    """What was put into the secret, by a server that stands for the account."""
    found = []
    with LoopbackServer(type("Own", (Account,), {"stored": found})) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        yield found


def _set(monkeypatch, text, stack="Freehold-Data"):
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    typer.main.get_command(model_key)(["set", "--stack", stack], standalone_mode=False)


def test_a_key_that_is_piped_in_becomes_the_value_of_the_secret(stored, monkeypatch, capsys):
    _set(monkeypatch, f"  {KEY}\n")
    assert [(put["SecretId"], put["SecretString"]) for put in stored] == [(ARN, KEY)]
    printed = capsys.readouterr()
    assert KEY not in printed.out + printed.err


@pytest.mark.parametrize("text", ["", "two words", "schlüssel"])
def test_what_cannot_be_a_key_is_refused_and_not_repeated(stored, monkeypatch, text):
    with pytest.raises(CommandFailed) as failed:
        _set(monkeypatch, text + "\n")
    assert failed.value.exit_code == 2
    assert not text or text not in str(failed.value)
    assert stored == []


def test_a_stack_that_is_not_there_is_one_line(stored, monkeypatch):
    with pytest.raises(CommandFailed, match="Stack with id Other does not exist"):
        _set(monkeypatch, KEY, stack="Other")
    assert stored == []


@pytest.mark.usefixtures("stored")
def test_no_region_is_one_line(monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(CommandFailed, match="region"):
        _set(monkeypatch, KEY)
