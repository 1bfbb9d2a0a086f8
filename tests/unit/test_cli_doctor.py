"""What the doctor finds, each on a machine that has it and one that lacks it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from freehold.adapters.egress import laptop
from freehold.cli import main
from freehold.cli.checks import (
    check_clock,
    check_disk,
    check_engine,
    check_model,
    check_namespaces,
    check_prices,
    check_sandbox,
)
from freehold.settings import Settings
from tests.loopback import LoopbackServer, QuietHandler

NOW = datetime.now(UTC)


def _kernel(tmp_path, **settings):
    for name, value in settings.items():
        path = tmp_path / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "uid", "status", "remedy"),
    [
        ({"user__max_user_namespaces": 15000}, 1000, "ok", ""),
        ({"user__max_user_namespaces": 0}, 0, "note", "max_user_namespaces"),
        ({"kernel__unprivileged_userns_clone": 0}, 1000, "note", "unprivileged_userns_clone"),
        ({"kernel__unprivileged_userns_clone": 0}, 0, "ok", ""),
        ({"kernel__apparmor_restrict_unprivileged_userns": 1}, 1000, "note", "apparmor"),
        ({}, 1000, "ok", ""),
    ],
)
def test_namespaces(tmp_path, settings, uid, status, remedy):
    found = check_namespaces(_kernel(tmp_path, **settings), platform="linux", uid=uid)
    assert found.status == status
    assert remedy in found.remedy


def test_another_system_has_no_namespaces():
    assert "docker" in check_namespaces(platform="darwin").remedy


@pytest.mark.parametrize(
    ("network", "status", "words"),
    [("on", "ok", "reach the egress proxy"), ("off", "note", "turned off")],
)
def test_whether_sandboxes_have_a_network_is_tried_out(network, status, words):
    sandbox, found = check_sandbox(Settings(network=network))
    if sandbox.status != "ok":
        pytest.skip(sandbox.detail)
    assert (found.name, found.status) == ("Network", status)
    assert words in found.detail


def test_a_proxy_that_does_not_start_is_missing(monkeypatch):
    monkeypatch.setattr(laptop, "proxy_command", lambda: ["false"])
    sandbox, found = check_sandbox(Settings())
    if sandbox.status != "ok":
        pytest.skip(sandbox.detail)
    assert (found.status, found.remedy) == ("missing", "--network off")
    assert "did not start" in found.detail


def _program(folder, name, code):
    path = folder / name
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(0o755)


def test_an_engine_whose_daemon_answers_is_found(tmp_path, monkeypatch):
    _program(tmp_path, "docker", 1)
    _program(tmp_path, "podman", 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_engine().detail == "podman answers"


def test_an_engine_without_a_daemon_is_said(tmp_path, monkeypatch):
    _program(tmp_path, "docker", 1)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = check_engine()
    assert (found.status, found.detail) == ("note", "docker found, but nothing answers")


def test_no_engine_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_engine().detail == "none found"


def test_the_disk_of_a_directory_that_does_not_exist_yet(tmp_path):
    found = check_disk(tmp_path / "not" / "yet")
    assert str(tmp_path) in found.detail


def test_a_clock_behind_its_own_files_is_found(tmp_path):
    assert check_clock(tmp_path, NOW, None).status == "ok"
    ahead = (NOW + timedelta(hours=1)).timestamp()
    (tmp_path / "written").write_text("")
    os.utime(tmp_path / "written", (ahead, ahead))
    assert check_clock(tmp_path, NOW, None).status == "missing"


@pytest.mark.parametrize(
    ("seconds", "status"), [(0, "ok"), (59, "ok"), (120, "missing"), (-120, "missing")]
)
def test_the_clock_is_held_against_the_endpoint_s(tmp_path, seconds, status):
    assert check_clock(tmp_path, NOW, NOW + timedelta(seconds=seconds)).status == status


@pytest.fixture
def endpoint():
    """A model endpoint that accepts one key; yields its URL."""

    class Endpoint(QuietHandler):
        def serve(self, _):
            is_list = self.command == "GET" and self.path.startswith("/v1/models")
            accepted = is_list and self.headers["x-api-key"] == "good"
            self.answer(200 if accepted else 401)

    with LoopbackServer(Endpoint) as server:
        yield server.url


def _claude(url, key):
    return Settings(model="anthropic", anthropic_api_key=SecretStr(key), anthropic_base_url=url)


def test_a_key_that_is_accepted(endpoint, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    found, time = check_model(_claude(endpoint, "good"))
    assert found.status == "ok"
    assert abs(time - datetime.now(UTC)) < timedelta(seconds=60)


def test_a_key_that_is_refused_is_not_shown(endpoint):
    found, _ = check_model(_claude(endpoint, "bad-key"))
    assert found.status == "missing"
    assert "bad-key" not in json.dumps(found.as_json())


def test_an_endpoint_that_is_not_there():
    found, time = check_model(_claude("http://127.0.0.1:9", "good"))
    assert (found.status, time) == ("missing", None)
    assert "ANTHROPIC_BASE_URL" in found.remedy


def test_without_a_key_the_scripted_model_is_noted():
    found, _ = check_model(Settings())
    assert (found.status, "ANTHROPIC_API_KEY" in found.remedy) == ("note", True)


def test_list_prices_are_named_with_their_date_and_source(tmp_path):
    assert "2026-" in check_prices(Settings()).detail
    file = tmp_path / "prices.json"
    file.write_text('{"source": "a contract", "date": "2026-11-01", "session_hour": "0"}')
    found = check_prices(Settings.from_environment({"FREEHOLD_PRICES": str(file)}))
    assert found.detail.startswith("of 2026-11-01, a contract (no model); else of 2026-")


def test_the_command_prints_every_check_and_fails_when_something_is_missing(capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json", "--data-dir", str(Path(tmp_path) / "data")])
    found = json.loads(capsys.readouterr().out)
    names = [check["name"] for check in found["checks"]]
    assert names == [
        "Python",
        "Sandbox",
        "Network",
        "Namespaces",
        "Container engine",
        "Disk",
        "Store",
        "Clock",
        "List prices",
        "Model",
    ]
    assert ended.value.code == (0 if found["ok"] else 1)
    assert found["ok"] == all(check["status"] != "missing" for check in found["checks"])
    assert all(check["remedy"] for check in found["checks"] if check["status"] == "missing")


def test_a_sandbox_that_cannot_be_had_fails_and_says_what_helps(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json", "--sandbox", "container", "--data-dir", str(tmp_path / "data")])
    assert ended.value.code == 1
    sandbox = json.loads(capsys.readouterr().out)["checks"][1]
    assert (sandbox["name"], sandbox["status"]) == ("Sandbox", "missing")
    assert sandbox["remedy"]
