"""Our tools against the SDK's reference toolset: the same inputs to both, equal answers and equal
files afterwards.

What differs on purpose is listed, each with the test that shows it: a kill reaches everything a
command started, output is spilled above 100,000 characters and never cut below, a `timeout_ms`
above 600,000 is refused, and so is an input that is not the tool's.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from anthropic.lib.tools import ToolError
from anthropic.lib.tools._beta_functions import (
    aclose_runnable_tool,  # the one way to end its shell outside a runner
)
from anthropic.lib.tools.agent_toolset import AgentToolContext, beta_agent_toolset_20260401
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold import toolset
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.subprocess_sandbox import SubprocessSandboxes
from freehold.testing.sandbox_calls import bash, call, new_sandbox, run, text_of
from freehold.toolset import BASH_TIMEOUT_CAP_MS, MAX_TEXT_BYTES, SANDBOX_TOOLS, ToolCall
from sandbox_task import tool_host
from sandbox_task.tool_paths import Reach

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def reference(workdir, calls, *, roots=(), read_only=(), env=None):
    """What the reference answers to calls in order: [(content, is_error)]."""
    return asyncio.run(_reference(workdir, calls, roots, read_only, env))


async def _reference(workdir, calls, roots, read_only, env):
    context = AgentToolContext(
        workdir=workdir, allowed_roots=list(roots), read_only_roots=list(read_only), env=env
    )
    tools = {tool.name: tool for tool in beta_agent_toolset_20260401(context)}
    answers = []
    try:
        for name, given in calls:
            try:
                answers.append((_blocks(await tools[name].call(given)), False))
            except ToolError as error:
                answers.append((_blocks(error.content), True))
    finally:
        await aclose_runnable_tool(tools["bash"])
    return answers


def _blocks(content):
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def ours(workdir, calls, *, roots=(), read_only=()):
    """What the file tools of the sandbox answer."""
    reach = Reach(str(workdir), tuple(map(str, roots)), tuple(map(str, read_only)))
    results = [tool_host.run(reach, name, given) for name, given in calls]
    return [(result["content"], result["is_error"]) for result in results]


def tree(root):
    """Every file below `root`, with its content or where it leads."""
    return {
        str(path.relative_to(root)): str(path.readlink())
        if path.is_symlink()
        else (path.read_bytes() if path.is_file() else None)
        for path in sorted(root.rglob("*"))
    }


@pytest.fixture
def workdir(tmp_path):
    """A directory with a bit of everything. Times are set, since `glob` sorts by them."""
    root = tmp_path / "work"
    for folder in ("src/deep", "empty", ".git", "node_modules"):
        (root / folder).mkdir(parents=True)
    (root / "a.txt").write_text("one\ntwo\nthree\n")
    (root / "no_newline").write_text("one\ntwo")
    (root / "crlf").write_bytes(b"one\r\ntwo\r\n")
    (root / "empty.txt").write_text("")
    (root / "twice").write_text("x and x\n")
    (root / "src/m.py").write_text("def f():\n    return 'ä'\n")
    (root / "src/deep/n.py").write_text("import m\n" * 3)
    (root / ".git/config").write_text("def hidden\n")
    (root / "node_modules/x.py").write_text("def hidden\n")
    (root / "binary").write_bytes(b"\0\xff\xfe def")
    (root / "latin").write_bytes(b"caf\xe9 def\n")
    (root / "long_line").write_text("def " + "x" * 3000 + "\ndef short\n")
    (root / "exact").write_bytes(b"x" * MAX_TEXT_BYTES)
    (root / "large").write_text("".join(f"line {i}\n" for i in range(40_000)))
    (root / "large_line").write_text("a\n" + "y" * (MAX_TEXT_BYTES + 1) + "\nb\n")
    (root / "edge_line").write_text("z" * MAX_TEXT_BYTES + "\n\nend\n" + "w" * 10)
    (root / "pixel.png").write_bytes(PIXEL)
    (root / "upper.PNG").write_bytes(PIXEL)
    (root / "big.png").write_bytes(b"\0" * (5 * 1024 * 1024))
    (root / "paper.pdf").write_bytes(b"%PDF-1.4\n")
    (root / "link").symlink_to("a.txt")
    (root / "link_out").symlink_to("/etc/hostname")
    (root / "link_dir").symlink_to("src")
    (root / "link_dir_out").symlink_to("/etc")
    (root / "dangling").symlink_to("new/file")
    (root / "dangling_out").symlink_to("/nowhere/file")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads/given").write_text("given\n")
    for number, path in enumerate(sorted(root.rglob("*"))):
        os.utime(path, (1_000_000 + number, 1_000_000 + number), follow_symlinks=False)
    return root


PATHS = [
    *("a.txt", "no_newline", "crlf", "empty.txt", "src/m.py", "latin", "binary", "exact", "large"),
    *("pixel.png", "upper.PNG", "big.png", "paper.pdf", "link", "link_out", "link_dir", "pipe"),
    *("link_dir/m.py", "link_dir_out/passwd", "dangling", "dangling_out", "loop", "missing"),
    *("missing/file", "a.txt/file", "", ".", "..", "../outputs", "src/../a.txt", "/etc/passwd"),
    *("src", "./a.txt", "//etc/passwd", "loop/x", "x" * 300, "nul\0", "link/x", "../work/a.txt"),
    *("large_line", "edge_line", "../uploads/given", "../outputs/made"),
]
RANGES = [[1, 2], [2, 2], [0, 0], [2, -1], [3, 1], [-5, 2], [9, 12], [1], [1, 2, 3], []]

READS = [
    *(("read", {"file_path": path}) for path in PATHS),
    *(
        ("read", {"file_path": path, "view_range": lines})
        for path in ("a.txt", "no_newline", "large", "pixel.png", "crlf", "empty.txt", "latin")
        for lines in RANGES
    ),
    *(
        ("read", {"file_path": path, "view_range": lines})
        for path in ("large_line", "edge_line", "large")
        for lines in ([1, 1], [2, 2], [1, 3], [2, 0], [3, 3], [1, 2], [3, 4], [39_999, 40_005])
    ),
]
SEARCHES = [
    *(
        ("glob", {"pattern": pattern})
        for pattern in (
            *("*", "**", "**/*", "**/*.py", "*.txt", "src/*", "s*c/m.py", "[ab]*", "?.txt", "none"),
            *("/etc/*", "../*", "a/../b", "link_dir/*", "link_dir_out/*", "", ".*", "**/deep/*"),
            *("**x", "*/", "[", "{a,b}.txt", "src/**/n.py", "link*"),
        )
    ),
    *(("glob", {"pattern": "*", "path": path}) for path in PATHS if path != "nul\0"),
    *(
        ("grep", {"pattern": pattern})
        for pattern in ("def", "^import", "two$", "ä", "(", "caf.", "x{3}", ".", "short", "no such")
    ),
    *(("grep", {"pattern": "[a-z]", "path": path}) for path in PATHS if path != "nul\0"),
]
EDITS = [
    ("a.txt", "two", "2", None),
    ("a.txt", "missing", "x", None),
    ("twice", "x", "y", None),
    ("twice", "x", "y", True),
    ("twice", "x", "y", False),
    ("crlf", "one\r\n", "", None),
    ("link", "one", "1", None),
    ("latin", "a", "b", None),
    ("exact", "x" * 10, "y", True),
    ("large", "line", "x", True),
    ("pipe", "a", "b", None),
    ("link_out", "a", "b", None),
    ("src", "a", "b", None),
    ("missing", "a", "b", None),
    ("../uploads/given", "given", "x", None),
]
WRITES = [path for path in PATHS if path not in ("pipe", "nul\0")]


def both(workdir, calls):
    """The answers of both, each on its own copy of the directory at the same place."""
    beside = workdir.parent
    options = {
        "roots": (beside / "outputs", beside / "uploads"),
        "read_only": (beside / "uploads",),
    }
    kept = beside.with_name(beside.name + "_kept")
    _copy(beside, kept)
    theirs = reference(workdir, calls, **options), tree(beside)
    shutil.rmtree(beside)
    _copy(kept, beside)
    mine = ours(workdir, calls, **options), tree(beside)
    return mine, theirs


def _copy(source, target):
    """With its links and times; a FIFO cannot be copied and is made anew."""
    for path in source.rglob("*"):
        if path.is_fifo():
            path.unlink()
    shutil.copytree(source, target, symlinks=True)
    for root in (source, target):
        os.mkfifo(root / "work" / "pipe")
        os.utime(root / "work" / "pipe", (1_000_000, 1_000_000))
        os.utime(root / "work", (1_000_000, 1_000_000))


def assert_equal(calls, mine, theirs):
    for made, answer, wanted in zip(calls, mine[0], theirs[0], strict=True):
        assert answer == wanted, made
    assert mine[1] == theirs[1]


@pytest.mark.parametrize("calls", [READS, SEARCHES], ids=["read", "search"])
def test_reading(workdir, calls, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")  # both search themselves, not with ripgrep
    mine, theirs = both(workdir, calls)
    assert_equal(calls, mine, theirs)
    assert any(not is_error for _, is_error in mine[0])


@pytest.mark.parametrize("given", EDITS, ids=[f"{e[0]}-{e[1][:8]!r}-{e[3]}" for e in EDITS])
def test_editing(workdir, given):
    names = ("file_path", "old_string", "new_string", "replace_all")
    calls = [("edit", dict(zip(names, given, strict=True)))]
    assert_equal(calls, *both(workdir, calls))


@pytest.mark.parametrize("path", WRITES, ids=[repr(path[:20]) for path in WRITES])
def test_writing(workdir, path):
    calls = [("write", {"file_path": path, "content": "new ä\r\n"})]
    assert_equal(calls, *both(workdir, calls))


_TEXT = st.text(alphabet="ab\n\r xä", max_size=12)
_NAME = st.sampled_from(["a.txt", "src/m.py", "new/x", "link", "empty.txt", "twice", "../up"])
_CALL = st.one_of(
    st.tuples(st.just("write"), st.fixed_dictionaries({"file_path": _NAME, "content": _TEXT})),
    st.tuples(
        st.just("edit"),
        st.fixed_dictionaries(
            {"file_path": _NAME, "old_string": _TEXT, "new_string": _TEXT},
            optional={"replace_all": st.booleans()},
        ),
    ),
    st.tuples(
        st.just("read"),
        st.fixed_dictionaries(
            {"file_path": _NAME},
            optional={"view_range": st.lists(st.integers(-2, 6), min_size=2, max_size=2)},
        ),
    ),
)


@given(calls=st.lists(_CALL, min_size=1, max_size=8))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_sequence_of_file_calls(tmp_path, calls):
    answers = []
    for answer in (reference, ours):
        root = tmp_path / "session"
        shutil.rmtree(root, ignore_errors=True)
        (root / "src").mkdir(parents=True)
        (root / "a.txt").write_text("a\nb\nx\n")
        (root / "src/m.py").write_text("ab ab\n")
        (root / "link").symlink_to("a.txt")
        answers.append((answer(root, calls), tree(root)))
    assert_equal(calls, answers[1], answers[0])


def test_ripgrep_is_used_where_there_is_one(workdir, tmp_path, monkeypatch):
    """A program of that name that says what it was asked; the real one is not always there."""
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    fake = bin_directory / "rg"
    fake.write_text(
        '#!/bin/sh\ncase "$5" in none) exit 1;; bad) echo wrong >&2; exit 2;;'
        ' much) seq 1 60000;; *) echo "$@";; esac\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_directory}:/usr/bin:/bin")
    calls = [("grep", {"pattern": word}) for word in ("some", "none", "bad", "much")]
    mine, theirs = ours(workdir, calls), reference(workdir, calls)
    assert mine == theirs
    assert "--no-heading" in mine[0][0][0]["text"]


# ---------------------------------------------------------------- bash
@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Our shell without isolation, so that both run on the same machine."""
    data_dir = tmp_path_factory.mktemp("data")
    secrets = LocalSecrets(data_dir / "secret.key")
    with closing(SubprocessSandboxes(data_dir, secrets, "none")) as sandboxes:
        yield sandboxes, data_dir


SCRIPTS = [
    ["echo hi", "echo out; echo err >&2", "true", "false", "exit_status() { return 7; }"],
    ["cd /usr && X=1", "echo $PWD $X", "export Y=2; Y=3", "sh -c 'echo $Y'"],
    ["printf 'no newline'", "printf '\\n\\nblank lines\\n\\n'", "printf '  spaces  '"],
    ["printf '\\033[31mred\\033[0m'", "printf '\\033[2J\\033[1;1H'", "printf 'a\\tb\\r\\n'"],
    ["cat", 'read x; echo "got [$x]"', "wc -c", "sleep 0 & wait"],
    ["echo 'it'\"'\"'s'", "cat <<'END'\na $b\nEND", "echo a \\\n b", "echo a # b"],
    ["for i in 1 2 3; do\n echo $i\ndone", "f() { echo in f; }", "f", "alias x=y; alias"],
    ["no_such_command", "ls /no/such/path", "(exit 9)", "kill -TERM $BASHPID; echo no"],
    [
        "printf '\\xff\\xfe'",
        "printf 'ä€😀'",
        "printf 'a\\0b'",
        "head -c 5000 /dev/zero | tr '\\0' x",
    ],
    ["seq 1 10000", "set -o pipefail; false | true", "trap 'echo bye' EXIT"],
    ["printf '__ANT_CMD_x_DONE__0'", "echo __DONE_00__0", "printf 'x\\n__DONE_'"],
    ["stty 2>&1 | head -1", "test -t 1; echo $?", 'echo $TERM "[$PS1]"', "ulimit -c"],
]


def _our_shell(plain, script):
    sandboxes, data_dir = plain
    sandbox = new_sandbox()
    results = [run(sandboxes, sandbox, bash(command)) for command in script]
    sandboxes.remove(sandbox)
    where = str(data_dir / "workspaces" / sandbox.session_id)
    return [(_placeless(text_of(result), where), result.is_error) for result in results]


def _their_shell(tmp_path, script):
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "TERM": "dumb"}
    calls = [("bash", {"command": command}) for command in script]
    answers = reference(tmp_path, calls, env=env)
    return [(_placeless(blocks[0]["text"], str(tmp_path)), bad) for blocks, bad in answers]


def _placeless(text, where):
    """Without what differs from run to run: paths, where in its input the shell stood, and the mark
    after a command.
    """
    text = re.sub(r"line \d+", "line N", text.replace(where, "/work"))
    return re.sub(r"__(ANT_CM|DONE_\w)''\w+__", "MARK", text)


@pytest.mark.parametrize("script", SCRIPTS, ids=[script[0][:24] for script in SCRIPTS])
def test_bash(plain, tmp_path, script):
    assert _our_shell(plain, script) == _their_shell(tmp_path, script)


ENDINGS = ["exit 3", "exec true", ")", "set -e; false", "echo a; exit", "set -u; echo $x", "# only"]


@pytest.mark.parametrize("command", ENDINGS)
def test_a_command_that_ends_the_shell(plain, tmp_path, command):
    first, after = _our_shell(plain, [command, "echo after"])
    assert [first] == _their_shell(tmp_path, [command])
    # The reference says this too, once it has noticed that its shell is gone.
    assert after == ("bash: bash session terminated; restart required", True)


def test_bash_inputs_beside_a_command(plain, tmp_path):
    sandboxes, _ = plain
    sandbox = new_sandbox()
    inputs = [
        {},
        {"command": ""},
        {"restart": False},
        {"command": "X=1"},
        {"restart": True, "command": "echo ignored"},
        {"command": "echo [$X]"},
        {"command": "echo a", "timeout_ms": 0},
        {"command": "sleep 5", "timeout_ms": 200},
        {"command": "echo dead"},
        {"restart": True},
        {"command": "echo b", "timeout_ms": 5000, "restart": None},
        {"command": "sleep 5", "timeout_ms": -1000},
    ]
    mine = [run(sandboxes, sandbox, call("bash", **given)) for given in inputs]
    theirs = reference(tmp_path, [("bash", given) for given in inputs])
    assert [(list(result.content), result.is_error) for result in mine] == theirs


# ---------------------------------------------------------------- differences on purpose
def test_difference_a_kill_reaches_all_that_was_started(plain):
    sandboxes, data_dir = plain
    sandbox = new_sandbox()
    made = bash("(sleep 1; touch left_over) & sleep 30", timeout_ms=200)
    assert run(sandboxes, sandbox, made).is_error
    run(sandboxes, sandbox, bash("sleep 1.2", thread_id="sthr_other"))
    assert not (data_dir / "workspaces" / sandbox.session_id / "left_over").exists()


@pytest.mark.parametrize(
    ("characters", "is_whole"), [(100_000, True), (100_001, False)], ids=["at", "above"]
)
def test_difference_output_is_spilled_above_a_limit_and_whole_below(plain, characters, is_whole):
    sandboxes, _ = plain
    made = bash(f"head -c {characters} /dev/zero | sed 's/\\x00/ä/g'")
    text = text_of(run(sandboxes, new_sandbox(), made))
    if is_whole:
        assert text == "ä" * characters
        return
    assert text.startswith(f"[output truncated: {characters} characters; all of them are in ")
    path = Path(text.partition(" are in ")[2].partition("]")[0])
    assert path.read_text() == "ä" * characters


def test_difference_the_cap_of_timeout_ms_is_named(plain):
    sandboxes, _ = plain
    result = run(sandboxes, new_sandbox(), bash("true", timeout_ms=BASH_TIMEOUT_CAP_MS + 1))
    assert result.is_error
    assert text_of(result) == "bash: timeout_ms 600001 exceeds the cap of 600000"


def test_difference_a_wrong_input_is_named(plain):
    sandboxes, _ = plain
    result = run(sandboxes, new_sandbox(), call("read", file_path="x", view_range=["1", "2"]))
    assert text_of(result) == "read: view_range.0: Input should be a valid integer"


# ---------------------------------------------------------------- what the model is told
def test_the_inputs_are_the_references(tmp_path):
    theirs = {tool.name: tool for tool in beta_agent_toolset_20260401(AgentToolContext(tmp_path))}
    for definition in toolset.tool_definitions(SANDBOX_TOOLS):
        schema = definition["input_schema"]
        wanted = theirs[definition["name"]].input_schema
        assert set(schema["properties"]) == set(wanted["properties"])
        assert set(schema["required"]) == set(wanted.get("required", []))


def test_no_input_that_the_reference_takes_is_refused():
    for name, wanted in READS + SEARCHES:
        assert toolset.refusal(ToolCall("t", "e", name, wanted)) is None
