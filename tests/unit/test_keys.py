"""API keys: shown once, stored hashed, bound to a workspace."""

from __future__ import annotations

import pytest

from freehold import keys as places
from freehold.errors import AuthenticationFailed
from freehold.services import keys
from freehold.testing.faulty_records import Fault, FaultyRecords
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


# ---------------------------------------------------------------- lists and revocation
def test_a_revoked_key_is_refused_and_the_others_are_not(app, records):
    secrets = [keys.create_key(records, name) for name in ("team", "team", "other")]
    first, *rest = keys.list_keys(records)
    assert first.last_characters == secrets[0][-4:]
    caller = keys.authenticate(app, secrets[0])
    assert keys.stands(app, caller)
    assert keys.revoke_key(records, first.id).revoked_at is not None
    assert not keys.stands(app, caller)
    with pytest.raises(AuthenticationFailed) as refused:
        keys.authenticate(app, secrets[0])
    assert refused.value.message == "invalid x-api-key"
    for secret, key in zip(secrets[1:], rest, strict=True):
        assert keys.authenticate(app, secret).key_id == key.id


def test_no_new_first_key_is_made_when_the_last_one_is_revoked(app, records):
    keys.first_key(app)
    (key,) = keys.list_keys(records)
    keys.revoke_key(records, key.id)
    assert keys.first_key(app) is None


@pytest.mark.parametrize("fault", [Fault.UNANSWERED, Fault.LOST])
def test_a_revocation_whose_answer_was_lost_is_done(app, records, fault):
    secret = keys.create_key(records)
    (key,) = keys.list_keys(records)
    revoked = keys.revoke_key(FaultyRecords(records, {("write", 1): fault}), key.id)
    assert revoked.revoked_at is not None
    with pytest.raises(AuthenticationFailed):
        keys.authenticate(app, secret)


def test_two_who_revoke_a_key_agree_on_when(records):
    keys.create_key(records)
    (key,) = keys.list_keys(records)
    between = Interloper(records)
    between.act = lambda: keys.revoke_key(records, key.id)
    revoked = keys.revoke_key(between, key.id)
    assert keys.list_keys(records) == [revoked]


def test_a_key_s_row_tells_nobody_the_key(records):
    secret = keys.create_key(records)
    shown = repr(records.query(places.API_KEYS).items)
    assert secret not in shown
    assert secret[:-4] not in shown


def test_what_stands_is_a_configured_key_too(records, tmp_path):
    app = app_on(records, tmp_path, api_key="configured")
    assert keys.stands(app, keys.authenticate(app, "configured"))
    other = app_on(records, tmp_path, api_key="changed")
    assert not keys.stands(other, keys.authenticate(app, "configured"))
