"""Environments over the real store: unique names, deep keep, who holds them (BEHAVIOUR 4)."""

from __future__ import annotations

import pytest

from freehold import keys
from freehold.errors import Conflict, InvalidRequest, NotFound
from freehold.ids import new_id
from freehold.ports import Write
from freehold.services import environments
from freehold.wire.environments import CreateEnvironment, EnvironmentList, UpdateEnvironment
from tests.unit.apps import CALLER, STRANGER, Interloper, UnsureRecords, app_on, memory_records

LIMITED = {"type": "cloud", "networking": {"type": "limited"}}
NO_PACKAGES = {
    "type": "packages",
    "apt": [],
    "cargo": [],
    "gem": [],
    "go": [],
    "npm": [],
    "pip": [],
}


@pytest.fixture
def records():
    records = memory_records()
    yield records
    records.close()


@pytest.fixture
def app(records, tmp_path):
    return app_on(records, tmp_path)


def create(app, name="e", caller=CALLER, **fields):
    body = CreateEnvironment.model_validate({"name": name, **fields})
    return environments.create_environment(app, caller, body)


def update(app, environment_id, caller=CALLER, **fields):
    body = UpdateEnvironment.model_validate(fields)
    return environments.update_environment(app, caller, environment_id, body)


def retrieve(app, environment_id, caller=CALLER):
    return environments.retrieve_environment(app, caller, environment_id)


def delete(app, environment_id, **options):
    return environments.delete_environment(app, CALLER, environment_id, **options)


def count_sessions(app, environment_id, change):
    """What the creation and the deletion of a session do."""
    place = keys.environment(CALLER.workspace_id, environment_id)
    app.records.write([Write(place, add={"sessions": change})])


def test_a_new_environment_shows_every_setting(app):
    environment = create(app, description="")
    answer = environment.model_dump(mode="json")
    assert answer["config"] == {
        "type": "cloud",
        "networking": {"type": "unrestricted"},
        "packages": NO_PACKAGES,
    }
    assert (answer["description"], answer["archived_at"]) == ("", None)
    assert (answer["scope"], answer["metadata"]) == ("organization", {})
    assert create(app, "f").model_dump()["description"] is None
    assert retrieve(app, environment.id) == environment


def test_limited_networking_without_exceptions_is_accepted(app):
    network = create(app, config=LIMITED).config.networking
    assert network.model_dump() == {
        "type": "limited",
        "allowed_hosts": [],
        "allow_mcp_servers": False,
        "allow_package_managers": False,
    }


def test_limited_networking_keeps_what_an_update_leaves_out(app):
    given = {"allowed_hosts": ["a.example", "*.b.example"], "allow_package_managers": True}
    network = {"type": "limited", **given}
    environment = create(app, config={"type": "cloud", "networking": network})
    assert environment.config.networking.model_dump() == {**network, "allow_mcp_servers": False}

    def updated(**fields):
        config = {"type": "cloud", "networking": {"type": "limited", **fields}}
        return update(app, environment.id, config=config).config.networking.model_dump()

    before = {**network, "allow_mcp_servers": False}
    assert updated() == updated(allowed_hosts=None, allow_mcp_servers=None) == before
    assert updated(allow_mcp_servers=True) == {**network, "allow_mcp_servers": True}
    assert updated(allowed_hosts=[])["allowed_hosts"] == []
    opened = {"type": "cloud", "networking": {"type": "unrestricted"}}
    update(app, environment.id, config=opened)
    assert updated() == {
        "type": "limited",
        "allowed_hosts": [],
        "allow_mcp_servers": False,
        "allow_package_managers": False,
    }


def cloud(network=None, **packages):
    given = {"type": "cloud", "packages": packages}
    return {**given, **({"networking": network} if network else {})}


def test_packages_keep_what_an_update_leaves_out(app):
    environment = create(app, config=cloud(pip=["pandas==2.2.0"], npm=["express@4"]))
    kept = {**NO_PACKAGES, "pip": ["pandas==2.2.0"], "npm": ["express@4"]}
    assert environment.config.packages.model_dump() == kept

    def updated(**config):
        changed = update(app, environment.id, config={"type": "cloud", **config})
        return changed.config.packages.model_dump()

    assert updated() == updated(packages=None) == updated(packages={"pip": None}) == kept
    assert updated(packages={"apt": ["jq"], "npm": []}) == {**kept, "apt": ["jq"], "npm": []}
    assert retrieve(app, environment.id).config.packages.apt == ["jq"]


def test_packages_under_limited_networking_need_the_package_managers(app):
    closed = {"type": "limited"}
    opened = {"type": "limited", "allow_package_managers": True}
    with pytest.raises(InvalidRequest, match=r"config\.packages\.pip: .*allow_package_managers"):
        create(app, config=cloud(closed, pip=["six"]))
    create(app, "none", config=cloud(closed, pip=[]))
    environment = create(app, config=cloud(opened, pip=["six"]))
    # What an update leaves out counts as much as what it says.
    network = {"type": "limited", "allow_package_managers": False}
    with pytest.raises(InvalidRequest, match="allow_package_managers"):
        update(app, environment.id, config={"type": "cloud", "networking": network})
    update(app, environment.id, config=cloud(network, pip=[]))
    with pytest.raises(InvalidRequest, match=r"config\.packages\.go: "):
        update(app, environment.id, config=cloud(go=["example.org/a@v1"]))
    update(app, environment.id, config=cloud({"type": "unrestricted"}, go=["example.org/a@v1"]))


def test_names_are_unique_in_a_workspace(app):
    create(app)
    with pytest.raises(Conflict, match="already exists") as refused:
        create(app)
    assert refused.value.should_retry is False
    assert len(environments.list_environments(app, CALLER, EnvironmentList()).data) == 1
    create(app, caller=STRANGER)
    for name in ("e/f", "../e", "e\n", "\U0001f600" * 256):
        create(app, name)


def test_a_name_claimed_at_the_same_moment_is_a_conflict(records, tmp_path):
    between = Interloper(records)
    app, other = app_on(between, tmp_path), app_on(records, tmp_path)
    between.act = lambda: create(other)
    with pytest.raises(Conflict):
        create(app)
    assert len(environments.list_environments(app, CALLER, EnvironmentList()).data) == 1


@pytest.mark.parametrize("environment_id", ["nope", "", new_id("env"), new_id("agent")])
def test_what_is_not_there_is_not_found(app, environment_id):
    for attempt in (
        lambda: retrieve(app, environment_id),
        lambda: update(app, environment_id, name="x"),
        lambda: environments.archive_environment(app, CALLER, environment_id),
        lambda: delete(app, environment_id),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_another_workspace_sees_nothing(app):
    environment = create(app)
    with pytest.raises(NotFound):
        retrieve(app, environment.id, STRANGER)
    with pytest.raises(NotFound):
        update(app, environment.id, STRANGER, name="mine")
    assert environments.list_environments(app, STRANGER, EnvironmentList()).data == []


# ---------------------------------------------------------------- update
def test_what_is_omitted_keeps_its_value_inside_the_config_too(app):
    environment = create(app, config=LIMITED, description="D", metadata={"a": "1"})
    for config in ({"type": "cloud"}, {"type": "cloud", "networking": None}, None):
        assert update(app, environment.id, config=config, name=None) == environment
    changed = update(app, environment.id, description=None, metadata={"a": "", "b": "2"})
    assert (changed.description, changed.metadata) == (None, {"b": "2"})
    assert changed.config == environment.config
    assert changed.updated_at > environment.updated_at
    opened = {"type": "cloud", "networking": {"type": "unrestricted"}}
    assert update(app, environment.id, config=opened).config.networking.type == "unrestricted"


def test_the_type_of_the_config_cannot_change(app):
    environment = create(app)
    with pytest.raises(InvalidRequest) as refused:
        update(app, environment.id, config={"type": "self_hosted"})
    assert refused.value.details == {"error_code": "invalid_config_type_change"}


def test_a_new_name_frees_the_old_one(app):
    first = create(app, "a")
    assert update(app, first.id, name="b").name == "b"
    second = create(app, "a")
    with pytest.raises(Conflict):
        update(app, second.id, name="b")
    assert update(app, second.id, name="a") == second


def test_an_update_keeps_the_count_of_sessions(app):
    environment = create(app)
    count_sessions(app, environment.id, 1)
    update(app, environment.id, description="new")
    environments.archive_environment(app, CALLER, environment.id)
    with pytest.raises(Conflict, match="1 session"):
        delete(app, environment.id)


def test_two_updates_at_once_both_count(records, tmp_path):
    between = Interloper(records)
    app, other = app_on(between, tmp_path), app_on(records, tmp_path)
    environment = create(app)
    between.act = lambda: update(other, environment.id, description="theirs")
    after = update(app, environment.id, metadata={"a": "1"})
    assert (after.description, after.metadata) == ("theirs", {"a": "1"})
    assert retrieve(app, environment.id) == after


def test_metadata_out_of_bounds_is_refused_with_its_code(app):
    environment = create(app, metadata={str(n): "v" for n in range(16)})
    with pytest.raises(InvalidRequest) as refused:
        update(app, environment.id, metadata={"more": "v"})
    assert refused.value.details == {"error_code": "invalid_metadata"}
    assert len(update(app, environment.id, metadata={"0": "", "more": "v"}).metadata) == 16


# ---------------------------------------------------------------- archive and delete
def test_archiving_is_one_way_and_ends_updates(app):
    environment = create(app)
    archived = environments.archive_environment(app, CALLER, environment.id)
    assert archived.archived_at is not None
    assert environments.archive_environment(app, CALLER, environment.id) == archived
    with pytest.raises(InvalidRequest) as refused:
        update(app, environment.id, description="late")
    assert refused.value.details == {"error_code": "environment_archived"}
    with pytest.raises(Conflict):
        create(app)


def test_an_environment_in_use_is_deleted_only_by_force(app):
    environment = create(app)
    count_sessions(app, environment.id, 2)
    with pytest.raises(Conflict, match="force=true") as refused:
        delete(app, environment.id)
    assert refused.value.should_retry is False
    assert delete(app, environment.id, force=True).model_dump() == {
        "id": environment.id,
        "type": "environment_deleted",
    }
    count_sessions(app, environment.id, -1)
    with pytest.raises(NotFound):
        retrieve(app, environment.id)
    assert environments.list_environments(app, CALLER, EnvironmentList()).data == []


def test_a_session_created_at_the_same_moment_keeps_its_environment(records, tmp_path):
    between = Interloper(records)
    app = app_on(between, tmp_path)
    environment = create(app)
    between.act = lambda: count_sessions(app, environment.id, 1)
    with pytest.raises(Conflict):
        delete(app, environment.id)
    assert retrieve(app, environment.id) == environment


def test_a_deleted_environment_leaves_nothing_and_frees_its_name(app, records):
    environment = create(app)
    environments.archive_environment(app, CALLER, environment.id)
    delete(app, environment.id)
    with pytest.raises(NotFound):
        delete(app, environment.id)
    partitions = (
        keys.collection(CALLER.workspace_id, "environments"),
        keys.environment(CALLER.workspace_id, environment.id).pk,
        keys.name(CALLER.workspace_id, "environment", "e").pk,
    )
    assert [records.query(pk).items for pk in partitions] == [(), (), ()]
    assert create(app).name == "e"


@pytest.mark.parametrize("fates", [["landed"], ["never"], ["late"], ["never", "late"]])
def test_a_lost_answer_changes_nothing_about_the_result(records, tmp_path, fates):
    unsure = UnsureRecords(records)
    app = app_on(unsure, tmp_path)
    unsure.fates = list(fates)
    environment = create(app)
    unsure.fates = list(fates)
    assert update(app, environment.id, name="b").name == "b"
    unsure.fates = list(fates)
    archived = environments.archive_environment(app, CALLER, environment.id)
    assert retrieve(app, environment.id) == archived
    unsure.fates = list(fates)
    delete(app, environment.id)
    with pytest.raises(NotFound):
        retrieve(app, environment.id)
    create(app, "b")


# ---------------------------------------------------------------- lists
def test_the_last_page_says_null(app):
    made = [create(app, str(n)).id for n in range(3)]
    first = environments.list_environments(app, CALLER, EnvironmentList(limit=2))
    rest = environments.list_environments(
        app, CALLER, EnvironmentList(limit=2, page=first.next_page)
    )
    assert [e.id for e in (*first.data, *rest.data)] == made[::-1]
    assert rest.model_dump()["next_page"] is None


def test_archived_environments_are_listed_only_when_asked_for(app):
    kept, gone = create(app, "a"), create(app, "b")
    environments.archive_environment(app, CALLER, gone.id)
    shown = environments.list_environments(app, CALLER, EnvironmentList())
    assert [e.id for e in shown.data] == [kept.id]
    shown = environments.list_environments(app, CALLER, EnvironmentList(include_archived=True))
    assert [e.id for e in shown.data] == [gone.id, kept.id]
