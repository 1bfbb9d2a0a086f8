"""API keys: shown once, stored hashed, bound to a workspace."""

from __future__ import annotations

import pytest

from freehold import keys as places
from freehold.errors import AuthenticationFailed
from freehold.services import keys
from tests.unit.apps import Interloper, app_on, memory_records


@pytest.fixture
def records():
    records = memory_records()
    yield records
    records.close()


@pytest.fixture
def app(records, tmp_path):
    return app_on(records, tmp_path)


def test_a_key_names_its_workspace(app, records):
    mine, other = keys.create_key(records, "team"), keys.create_key(records, "other")
    again = keys.create_key(records, "team")
    callers = [keys.authenticate(app, secret) for secret in (mine, again, other)]
    assert callers[0].workspace_id == callers[1].workspace_id != callers[2].workspace_id
    assert len({caller.key_id for caller in callers}) == 3
    assert all(caller.kind == "api" for caller in callers)


def test_the_secret_is_not_stored(records):
    secret = keys.create_key(records, "team")
    digest = places.api_key(keys._digest(secret))
    items = [*records.query(digest.pk).items, *records.query(places.workspace("team").pk).items]
    assert len(items) == 2
    assert secret not in repr(items)


@pytest.mark.parametrize("secret", ["", "wrong", "fh-api-", "ü", "\udcff", "a" * 100_000])
def test_a_secret_nobody_was_given_is_refused_without_repeating_it(app, records, secret):
    keys.create_key(records)
    with pytest.raises(AuthenticationFailed) as refused:
        keys.authenticate(app, secret)
    assert refused.value.message == "invalid x-api-key"


def test_the_hash_of_a_key_is_not_a_key(app, records):
    secret = keys.create_key(records)
    with pytest.raises(AuthenticationFailed):
        keys.authenticate(app, keys._digest(secret))


def test_a_configured_key_belongs_to_the_default_workspace(records, tmp_path):
    app = app_on(records, tmp_path, api_key="configured")
    made = keys.authenticate(app, keys.create_key(records))
    configured = keys.authenticate(app, "configured")
    assert configured.workspace_id == made.workspace_id == keys.DEFAULT_WORKSPACE_ID
    assert keys.first_key(app) is None
    with pytest.raises(AuthenticationFailed):
        keys.authenticate(app, "configured ")


def test_the_first_start_makes_a_key_and_no_later_one_does(app):
    secret = keys.first_key(app)
    assert keys.authenticate(app, secret).workspace_id == keys.DEFAULT_WORKSPACE_ID
    assert keys.first_key(app) is None


def test_two_who_make_the_same_workspace_share_it(records, tmp_path):
    between = Interloper(records)
    app = app_on(records, tmp_path)
    made = []
    between.act = lambda: made.append(keys.create_key(records, "team"))
    made.append(keys.create_key(between, "team"))
    assert len({keys.authenticate(app, secret).workspace_id for secret in made}) == 1
