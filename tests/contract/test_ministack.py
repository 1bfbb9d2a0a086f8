"""What tests/ministack_launcher.py corrects of the emulator, as AWS has it."""

from __future__ import annotations

import json
import sys
import time

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.emulated_functions import (
    create_function,
    create_socket,
    create_state_machine_stack,
    execute,
)


def invoke(endpoint, function, event):
    """What the function answered, and whether that is an error."""
    answer = endpoint.client("lambda").invoke(
        FunctionName=function, Payload=json.dumps(event).encode()
    )
    return json.loads(answer["Payload"].read()), "FunctionError" in answer


def test_an_error_has_the_name_of_its_class(emulated_aws):
    source = "class Broken(ValueError): pass\ndef handler(event, context): raise Broken('why')"
    body, failed = invoke(emulated_aws, create_function(emulated_aws, source), {})
    assert failed
    assert (body["errorType"], body["errorMessage"]) == ("Broken", "why")


def test_a_process_that_ends_is_an_exit_and_the_next_one_serves(emulated_aws):
    source = "import os\ndef handler(event, context): return os._exit(1) if event['end'] else 'up'"
    function = create_function(emulated_aws, source)
    body, failed = invoke(emulated_aws, function, {"end": True})
    assert (failed, body["errorType"]) == (True, "Runtime.ExitError")
    assert invoke(emulated_aws, function, {"end": False}) == ("up", False)


def test_a_warm_function_without_logs_answers_at_once(emulated_aws):
    function = create_function(emulated_aws, "def handler(event, context): return event")
    took = []
    for _ in range(20):
        started = time.monotonic()
        assert invoke(emulated_aws, function, 1) == (1, False)
        took.append(time.monotonic() - started)
    assert min(took) < 0.05


def test_functions_run_under_the_python_that_was_chosen(emulated_aws):
    source = "import sys\ndef handler(event, context): return sys.executable"
    assert invoke(emulated_aws, create_function(emulated_aws, source), {})[0] == sys.executable


def test_a_task_that_waits_for_a_token_fails_with_its_function(emulated_aws):
    source = "def handler(event, context): raise LookupError('why')"
    definition = {
        "StartAt": "Ask",
        "States": {
            "Ask": {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
                "Parameters": {
                    "FunctionName": create_function(emulated_aws, source),
                    "Payload": {"token.$": "$$.Task.Token"},
                },
                "TimeoutSeconds": 100,
                "End": True,
            }
        },
    }
    closed = execute(emulated_aws, json.dumps(definition), {}, "once")
    assert (closed["status"], closed["error"]) == ("FAILED", "LookupError")
    assert json.loads(closed["cause"])["errorMessage"] == "why"


def test_an_open_execution_is_started_again_only_with_its_own_input(emulated_aws):
    client = emulated_aws.client("stepfunctions")
    wait = {"Type": "Wait", "Seconds": 100_000, "End": True}
    definition = {"StartAt": "Wait", "States": {"Wait": wait}}
    arn = create_state_machine_stack(emulated_aws, json.dumps(definition), {})

    def start(text):
        return client.start_execution(stateMachineArn=arn, name="once", input=text)["executionArn"]

    execution = start('{"a":1}')
    assert start('{"a":1}') == execution
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        start('{"a": 1}')
    client.stop_execution(executionArn=execution)
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        start('{"a":1}')


def test_a_handshake_is_answered_as_the_function_says(emulated_aws):
    source = """
def handler(event, context):
    if event["requestContext"]["eventType"] != "CONNECT":
        return {"statusCode": 200}
    wanted = event["headers"].get("sec-websocket-protocol")
    if wanted is None:
        return {"statusCode": 418, "headers": {"x-why": "none"}, "body": "no tea"}
    return {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": wanted.split(",")[0]}}
"""
    url = create_socket(emulated_aws, create_function(emulated_aws, source))
    with connect(url, subprotocols=["first", "second"], proxy=None, open_timeout=30) as socket:
        assert socket.subprotocol == "first"
    with pytest.raises(InvalidStatus) as refused:
        connect(url, proxy=None, open_timeout=30)
    answer = refused.value.response
    assert (answer.status_code, answer.headers["x-why"]) == (418, "none")
    assert answer.body == b"no tea"
