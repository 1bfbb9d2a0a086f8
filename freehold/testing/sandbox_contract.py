"""What every `Sandboxes` must do, as a program: run each check of `CONTRACT` on an implementation.

    @pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
    def test_contract(check, sandboxes):
        check(sandboxes, sandbox_calls.new_sandbox())

`execute` must give up waiting within a few seconds, or the checks of long calls take a minute.

Not promised, and not asked: that anything is isolated (the escape suite asks that), that background
processes outlive a restart of the shell, or in which order calls of one thread that are sent at
once are carried out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from freehold.errors import SandboxLost, ToolError
from freehold.ports import Sandboxes, SandboxRef
from freehold.testing.sandbox_calls import (
    bash,
    call,
    eventually,
    failed,
    finish,
    new_sandbox,
    run,
    said,
    text_of,
)
from freehold.toolset import BASH_TIMEOUT_CAP_MS, MAX_RESULT_CHARACTERS, ToolCall

Check = Callable[[Sandboxes, SandboxRef], None]


# ---------------------------------------------------------------- boots and files
def a_running_sandbox_keeps_its_boot_id(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    first = sandboxes.boot(sandbox)
    said(sandboxes, sandbox, bash("true"))
    assert sandboxes.boot(sandbox) == first


def two_sessions_share_nothing(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    other = new_sandbox()
    assert sandboxes.boot(sandbox) != sandboxes.boot(other)
    said(sandboxes, sandbox, bash("echo mine > file"))
    assert "no such file" in failed(sandboxes, other, call("read", file_path="file"))
    sandboxes.remove(other)


def a_prewarmed_sandbox_boots(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    sandboxes.prewarm(sandbox)
    assert said(sandboxes, sandbox, bash("echo here")) == "here"


def another_boot_is_refused(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    sandboxes.boot(sandbox)
    made = bash("echo done >> ran")
    try:
        sandboxes.execute(sandbox, "boot_of_yesterday", made)
    except SandboxLost:
        assert "no such file" in failed(sandboxes, sandbox, call("read", file_path="ran"))
        return
    raise AssertionError("a call for another boot was taken")


def a_removed_session_is_gone(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    boot_id = sandboxes.boot(sandbox)
    said(sandboxes, sandbox, bash("mkdir -p a/b && chmod 000 a/b && echo x > file"))
    sandboxes.remove(sandbox)
    try:
        sandboxes.execute(sandbox, boot_id, bash("true"))
    except SandboxLost:
        return
    raise AssertionError("a removed sandbox took a call")


# ---------------------------------------------------------------- at most once
def a_call_is_carried_out_once(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    boot_id = sandboxes.boot(sandbox)
    made = bash("echo once >> ran; sleep 0.2; cat ran")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: finish(sandboxes, sandbox, boot_id, made), range(8)))
    assert {text_of(result) for result in results} == {"once"}
    assert finish(sandboxes, sandbox, boot_id, made) == results[0]


def an_id_with_another_input_is_refused(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    boot_id = sandboxes.boot(sandbox)
    made = bash("echo first")
    finish(sandboxes, sandbox, boot_id, made)
    other = ToolCall(made.thread_id, made.event_id, "bash", {"command": "echo second > ran"})
    try:
        sandboxes.execute(sandbox, boot_id, other)
    except SandboxLost as error:
        raise AssertionError("took a refusal for the death of the sandbox") from error
    except ToolError:
        assert "no such file" in failed(sandboxes, sandbox, call("read", file_path="ran"))
        return
    raise AssertionError("two calls shared an id")


def a_long_call_is_joined(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    boot_id = sandboxes.boot(sandbox)
    made = bash("while [ ! -e go ]; do sleep 0.05; done; echo came")
    assert sandboxes.execute(sandbox, boot_id, made) is None
    said(sandboxes, sandbox, call("write", file_path="go", content=""))
    assert text_of(finish(sandboxes, sandbox, boot_id, made)) == "came"


# ---------------------------------------------------------------- cancelling
_HEARTBEAT = "while :; do date +%s%N > beat; sleep 0.02; done"


def a_cancelled_call_is_dead_with_all_it_started(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    boot_id = sandboxes.boot(sandbox)
    made = bash(f"setsid bash -c '{_HEARTBEAT}' & setsid -f bash -c '{_HEARTBEAT}'; sleep 60")
    assert sandboxes.execute(sandbox, boot_id, made) is None
    eventually(lambda: _beat(sandboxes, sandbox) != "")
    begun = time.monotonic()
    sandboxes.cancel(sandbox, boot_id, [made])
    assert finish(sandboxes, sandbox, boot_id, made).is_error
    assert time.monotonic() - begun < 1
    _assert_no_heartbeat(sandboxes, sandbox)


def _beat(sandboxes: Sandboxes, sandbox: SandboxRef) -> str:
    result = run(sandboxes, sandbox, call("read", file_path="beat"))
    return "" if result.is_error else text_of(result)


def _assert_no_heartbeat(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    """Two readings, ten beats apart; half-written ones are no readings."""
    last = _beat(sandboxes, sandbox)
    time.sleep(0.2)
    assert _beat(sandboxes, sandbox) == last


def a_call_cancelled_before_it_came_is_never_carried_out(
    sandboxes: Sandboxes, sandbox: SandboxRef
) -> None:
    boot_id = sandboxes.boot(sandbox)
    made = bash("echo ran > ran")
    sandboxes.cancel(sandbox, boot_id, [made])
    assert finish(sandboxes, sandbox, boot_id, made).is_error
    assert "no such file" in failed(sandboxes, sandbox, call("read", file_path="ran"))


def a_call_that_waits_for_its_turn_can_be_cancelled(
    sandboxes: Sandboxes, sandbox: SandboxRef
) -> None:
    boot_id = sandboxes.boot(sandbox)
    first = bash("while [ ! -e go ]; do sleep 0.05; done; echo first")
    assert sandboxes.execute(sandbox, boot_id, first) is None
    second = bash("echo ran > ran")
    assert sandboxes.execute(sandbox, boot_id, second) is None
    sandboxes.cancel(sandbox, boot_id, [second])
    assert finish(sandboxes, sandbox, boot_id, second).is_error
    said(sandboxes, sandbox, call("write", file_path="go", content=""))
    assert text_of(finish(sandboxes, sandbox, boot_id, first)) == "first"
    assert "no such file" in failed(sandboxes, sandbox, call("read", file_path="ran"))


def cancelling_never_fails(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    sandboxes.cancel(sandbox, "boot_of_yesterday", [bash("true")])
    boot_id = sandboxes.boot(sandbox)
    done = bash("echo done")
    before = finish(sandboxes, sandbox, boot_id, done)
    sandboxes.cancel(sandbox, boot_id, [done])
    assert finish(sandboxes, sandbox, boot_id, done) == before


# ---------------------------------------------------------------- the shell
def a_shell_keeps_its_state(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    said(sandboxes, sandbox, bash("mkdir -p sub && cd sub && export WORD=kept"))
    assert said(sandboxes, sandbox, bash("echo $(basename $PWD) $WORD")) == "sub kept"


def each_thread_has_a_shell(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    said(sandboxes, sandbox, bash("WORD=mine"))
    assert said(sandboxes, sandbox, bash("echo [$WORD]", thread_id="sthr_other")) == "[]"


def threads_run_at_the_same_time(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    boot_id = sandboxes.boot(sandbox)
    wait = "touch {0}; while [ ! -e {1} ]; do sleep 0.02; done; echo met"
    calls = [
        bash(wait.format("left", "right"), thread_id="sthr_left"),
        bash(wait.format("right", "left"), thread_id="sthr_right"),
    ]
    with ThreadPoolExecutor(2) as pool:
        met = pool.map(lambda made: text_of(finish(sandboxes, sandbox, boot_id, made)), calls)
    assert list(met) == ["met", "met"]


def a_command_that_takes_too_long_is_killed(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    made = bash(f"setsid bash -c '{_HEARTBEAT}' & sleep 60", timeout_ms=300)
    assert failed(sandboxes, sandbox, made) == "bash: bash command timed out after 0.3s"
    _assert_no_heartbeat(sandboxes, sandbox)
    assert "restart required" in failed(sandboxes, sandbox, bash("echo"))
    assert said(sandboxes, sandbox, call("bash", restart=True)) == "bash session restarted"
    assert said(sandboxes, sandbox, bash("echo again")) == "again"


# ---------------------------------------------------------------- inputs and results
def a_wrong_input_is_an_error_result(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    for made in (
        call("read"),
        call("read", file_path=3),
        call("write", file_path="x", content="x", mode="0644"),
        call("launch"),
        bash("true", timeout_ms=BASH_TIMEOUT_CAP_MS + 1),
    ):
        assert failed(sandboxes, sandbox, made)
    over = bash("true", timeout_ms=BASH_TIMEOUT_CAP_MS + 1)
    assert str(BASH_TIMEOUT_CAP_MS) in failed(sandboxes, sandbox, over)


def the_file_tools_work_together(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    said(sandboxes, sandbox, call("write", file_path="a/b.txt", content="one\ntwo\n"))
    said(sandboxes, sandbox, call("edit", file_path="a/b.txt", old_string="two", new_string="2"))
    assert said(sandboxes, sandbox, call("read", file_path="a/b.txt")) == "one\n2\n"
    assert said(sandboxes, sandbox, call("glob", pattern="**/*.txt")).endswith("/a/b.txt")
    assert said(sandboxes, sandbox, call("grep", pattern="^o")).endswith("/a/b.txt:1:one")


def a_long_result_is_in_a_file(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    text = said(sandboxes, sandbox, bash("seq 1 50000"))
    assert len(text) < MAX_RESULT_CHARACTERS // 2
    assert "1\n2\n" in text
    assert text.endswith("\n50000")
    path = text.partition(" are in ")[2].partition("]")[0]
    middle = call("read", file_path=path, view_range=[25000, 25002])
    assert said(sandboxes, sandbox, middle) == "25000\n25001\n25002"


def bytes_that_are_no_text_do_not_break_a_result(sandboxes: Sandboxes, sandbox: SandboxRef) -> None:
    assert said(sandboxes, sandbox, bash(r"printf 'a\xff\x00b'")) == "a\ufffd\x00b"


CONTRACT: tuple[Check, ...] = (
    a_running_sandbox_keeps_its_boot_id,
    two_sessions_share_nothing,
    a_prewarmed_sandbox_boots,
    another_boot_is_refused,
    a_removed_session_is_gone,
    a_call_is_carried_out_once,
    an_id_with_another_input_is_refused,
    a_long_call_is_joined,
    a_cancelled_call_is_dead_with_all_it_started,
    a_call_cancelled_before_it_came_is_never_carried_out,
    a_call_that_waits_for_its_turn_can_be_cancelled,
    cancelling_never_fails,
    a_shell_keeps_its_state,
    each_thread_has_a_shell,
    threads_run_at_the_same_time,
    a_command_that_takes_too_long_is_killed,
    a_wrong_input_is_an_error_result,
    the_file_tools_work_together,
    a_long_result_is_in_a_file,
    bytes_that_are_no_text_do_not_break_a_result,
)
