"""The SDK's own runner of custom tools, against this server."""

from __future__ import annotations

import asyncio

import anthropic
import pytest
from anthropic import beta_async_tool

from tests.contract.conversations import INTERRUPT, call, conversation, place, says


@pytest.fixture(scope="module")
def somewhere(tmp_path_factory):
    with place("over HTTP", tmp_path_factory.mktemp("runner")) as found:
        yield found


def run_tools(talk, executed):
    """Serves the custom tool until the session rests; answers what the runner saw."""

    @beta_async_tool(name="lookup", description="Looks an order up.")
    async def lookup(q: str) -> str:
        """Looks an order up."""
        executed.append(q)
        return f"order {q}"

    async def serve():
        async with anthropic.AsyncAnthropic(
            base_url=talk.place.server.url,
            api_key=talk.place.server.key,
            max_retries=0,
            _strict_response_validation=True,
        ) as client:
            runner = client.beta.sessions.events.tool_runner(
                talk.session_id, tools=[lookup], max_idle=0.3
            )
            return [(c.name, c.posted) async for c in runner]

    return asyncio.run(asyncio.wait_for(serve(), 30))


def test_the_runner_answers_custom_calls_and_leaves_the_others(somewhere):
    with conversation(somewhere) as talk:
        calls = [call("bash", command="ran"), call("lookup", q="1"), call("lookup", q="2")]
        talk.send(says({"tools": calls}, {"say": "{result}"}))
        executed = []
        seen = run_tools(talk, executed)
        assert executed == ["1", "2"]
        assert sorted(seen) == [("bash", False), ("lookup", True), ("lookup", True)]
        assert talk.when("agent.message").content[0].text == "ran\norder 1\norder 2"
        assert talk.told()[-1] == "session.status_idle end_turn"


def test_the_runner_does_not_run_a_call_that_an_interrupt_has_closed(somewhere):
    with conversation(somewhere) as talk:
        talk.send(says(call("lookup", q="1")))
        talk.when_idle()
        talk.send(INTERRUPT, says({"say": "Not now."}))
        talk.when_idle(3)
        executed = []
        assert run_tools(talk, executed) == []
        assert executed == []
