"""The command line: a mistake is one readable line and an exit code."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from freehold.cli import main
from freehold.cli.server_process import ServerFailed, ServerProcess
from freehold.cli.terminal import printable

ROOT = Path(__file__).parents[2]


def _main(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code, capsys.readouterr()


def _one_line(text):
    assert text.startswith("freehold: ")
    assert text.count("\n") == 1
    return text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "--prot", "1"], "No such option: --prot"),
        (["serve", "--port", "many"], "--port"),
        (["serve", "--port", "70000"], "--port"),
        (["serve", "--model", "oracle"], "--model"),
        (["serve", "--sandbox", "maybe"], "--sandbox"),
        (["serve", "--model", "anthropic"], "ANTHROPIC_API_KEY"),
        (["keys", "create", "--workspace", "../other"], "--workspace"),
        (["invent"], "invent"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(capsys, arguments, words):
    code, printed = _main(capsys, *arguments)
    assert code == 2
    assert words in _one_line(printed.err)
    assert printed.out == ""


def test_a_secret_that_is_wrong_is_not_repeated(capsys, monkeypatch):
    monkeypatch.setenv("FREEHOLD_API_KEY", "not a key")
    code, printed = _main(capsys, "serve")
    assert code == 2
    assert "FREEHOLD_API_KEY" in _one_line(printed.err)
    assert "not a key" not in printed.err


def _serve(*options):
    """What `freehold serve` answers when it cannot start: exit code, one line on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "freehold.cli", "serve", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr


def test_a_busy_port_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        code, line = _serve("--port", str(port), "--data-dir", str(tmp_path))
    assert code == 1
    assert f"127.0.0.1 port {port}: Address already in use" in line


def test_a_data_directory_that_is_a_file_is_one_line(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("")
    code, line = _serve("--port", "0", "--data-dir", str(taken))
    assert code == 1
    assert f"{taken}: " in line


def test_a_data_directory_in_use_is_one_line(tmp_path):
    with ServerProcess(tmp_path, options=["--model", "scripted"]) as server:
        assert server.url
        code, line = _serve("--port", "0", "--data-dir", str(tmp_path))
    assert code == 1
    assert "in use by another server" in line


def test_sigterm_ends_a_server_in_order(tmp_path):
    with ServerProcess(tmp_path, options=["--model", "scripted"]) as server:
        assert server.url
        assert server.stop() == 0


def test_a_server_that_cannot_start_says_why(tmp_path):
    with (
        ServerProcess(tmp_path, options=["--sandbox", "maybe"]) as server,
        pytest.raises(ServerFailed, match="--sandbox"),
    ):
        _ = server.url


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["serve"],
        ["keys"],
        ["keys", "create"],
        ["keys", "list"],
        ["keys", "revoke"],
        ["doctor"],
        ["demo"],
        *(["sessions", c] for c in ("list", "show", "tail", "tool-calls", "cost", "replay")),
        *(["audit", command] for command in ("verify", "erase")),
    ],
    ids=lambda arguments: " ".join(arguments) or "freehold",
)
def test_every_command_has_help(capsys, arguments):
    code, printed = _main(capsys, *arguments, "--help")
    assert code == 0
    assert "Usage: " in printed.out
    assert ("Examples:" in printed.out) == (arguments[:1] in (["sessions"], ["audit"]))
    assert "\x1b" not in printed.out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("freehold ", {"serve", "keys", "doctor", "demo"}),
        ("freehold keys ", {"create", "list", "revoke"}),
        ("freehold keys r", {"revoke"}),
        ("freehold sessions t", {"tail", "tool-calls"}),
        ("freehold sessions list --status r", {"running", "rescheduling"}),
        ("freehold audit verify --a", {"--all", "--against"}),
        ("freehold keys list --", {"--data-dir", "--json", "--stack"}),
    ],
)
def test_completion_offers_what_may_come_next(typed, offered):
    words = typed.split(" ")
    environment = {**os.environ, "_FREEHOLD_COMPLETE": "complete_bash", "COMP_WORDS": typed}
    done = subprocess.run(
        [sys.executable, "-m", "freehold.cli"],
        cwd=ROOT,
        env={**environment, "COMP_CWORD": str(len(words) - 1)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert offered <= set(done.stdout.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_installed(shell):
    done = subprocess.run(
        [sys.executable, "-m", "freehold.cli"],
        cwd=ROOT,
        env={**os.environ, "_FREEHOLD_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    assert "_FREEHOLD_COMPLETE" in done.stdout


def test_the_version_is_the_package_s(capsys):
    code, printed = _main(capsys, "--version")
    assert code == 0
    assert printed.out.startswith("freehold ")


def test_keys_are_printed_once_and_stored_hashed(capsys, tmp_path):
    code, printed = _main(capsys, "keys", "create", "--data-dir", str(tmp_path), "--json")
    assert code == 0
    made = json.loads(printed.out)
    assert made["workspace"] == "default"
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert stored
    assert made["key"].encode() not in stored


def test_each_key_is_another(capsys, tmp_path):
    keys = {_main(capsys, "keys", "create", "--data-dir", str(tmp_path))[1].out for _ in "ab"}
    assert len(keys) == 2


def _listed(capsys, directory):
    code, printed = _main(capsys, "keys", "list", "--json", "--data-dir", str(directory))
    assert code == 0
    return json.loads(printed.out)


def test_keys_are_listed_without_the_keys(capsys, tmp_path):
    made = [
        _main(capsys, "keys", "create", "--workspace", name, "--data-dir", str(tmp_path))[1].out
        for name in ("default", "team", "team")
    ]
    found = _listed(capsys, tmp_path)
    assert [key["workspace"] for key in found] == ["default", "team", "team"]
    assert [key["last_characters"] for key in found] == [key.strip()[-4:] for key in made]
    assert len({key["id"] for key in found}) == 3
    assert all(key["id"].startswith("apikey_") for key in found)
    assert all(key["revoked_at"] is None for key in found)
    assert found[1]["workspace_id"] == found[2]["workspace_id"] != found[0]["workspace_id"]
    code, printed = _main(capsys, "keys", "list", "--data-dir", str(tmp_path))
    assert code == 0
    assert len(printed.out.splitlines()) == 3
    for shown in (printed.out, json.dumps(found)):
        assert not [key for key in made if key.strip() in shown]
        assert "digest" not in shown


def test_a_revoked_key_is_listed_as_such_and_may_be_revoked_again(capsys, tmp_path):
    _main(capsys, "keys", "create", "--data-dir", str(tmp_path))
    (key,) = _listed(capsys, tmp_path)
    for _ in range(2):
        code, printed = _main(
            capsys, "keys", "revoke", key["id"], "--json", "--data-dir", str(tmp_path)
        )
        assert code == 0
    (after,) = _listed(capsys, tmp_path)
    assert after == json.loads(printed.out) == {**key, "revoked_at": after["revoked_at"]}
    assert after["revoked_at"] > key["created_at"]
    code, printed = _main(capsys, "keys", "list", "--data-dir", str(tmp_path))
    assert "revoked" in printed.out


@pytest.mark.parametrize("key_id", ["apikey_" + "0" * 26, "apikey_configured", "../x"])
def test_revoking_what_is_no_key_is_one_line(capsys, tmp_path, key_id):
    code, printed = _main(capsys, "keys", "revoke", key_id, "--data-dir", str(tmp_path))
    assert code == 1
    assert key_id in _one_line(printed.err)


def test_listing_makes_no_data_directory(capsys, tmp_path):
    code, printed = _main(capsys, "keys", "list", "--data-dir", str(tmp_path / "none"))
    assert code == 1
    assert "no such directory" in _one_line(printed.err)
    assert not (tmp_path / "none").exists()


def test_what_an_agent_says_does_not_reach_the_terminal_s_controls():
    assert printable("a\x1b[2Jb\u202ec\td\n") == "a\ufffd[2Jb\ufffdc\td\n"
