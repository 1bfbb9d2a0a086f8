"""A model whose key comes and goes while the process lives."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from freehold.adapters.keyed_model import KeyedModel
from freehold.errors import ModelError, ModelStopped
from freehold.ports import ModelRequest, ReplyDone, Usage

REQUEST = ModelRequest("claude", (), (), ({"role": "user", "content": "hello"},))
DONE = ReplyDone("end_turn", Usage())


class Reply:
    """One chunk; once closed, none."""

    def __init__(self):
        self.closed = False

    def __iter__(self):
        if self.closed:
            raise ModelStopped
        yield DONE

    def close(self):
        self.closed = True


class Model:
    """Remembers the key it was made with."""

    def __init__(self, key):
        self.key = key

    def open(self, request):
        return Reply()


@pytest.fixture
def stored():
    return {"key": SecretStr("first")}


@pytest.fixture
def connected():
    return []


@pytest.fixture
def model(stored, connected):
    def connect(key):
        if key is None:
            raise ModelError("model_request_failed", "No key.", retryable=False)
        connected.append(Model(key))
        return connected[-1]

    return KeyedModel(lambda: stored["key"], connect)


def test_requests_share_a_connection_while_the_key_stays(model, connected):
    assert [list(model.open(REQUEST)), list(model.open(REQUEST))] == [[DONE], [DONE]]
    assert len(connected) == 1


def test_the_next_request_uses_a_key_that_was_replaced(model, stored, connected):
    list(model.open(REQUEST))
    stored["key"] = SecretStr("second")
    list(model.open(REQUEST))
    assert [m.key.get_secret_value() for m in connected] == ["first", "second"]


def test_a_missing_key_fails_the_request_and_not_its_opening(model, stored):
    stored["key"] = None
    reply = model.open(REQUEST)
    with pytest.raises(ModelError):
        next(iter(reply))
    stored["key"] = SecretStr("late")
    assert list(model.open(REQUEST)) == [DONE]


def test_a_request_that_is_closed_before_it_began_is_stopped(model):
    reply = model.open(REQUEST)
    reply.close()
    with pytest.raises(ModelStopped):
        next(iter(reply))
