"""What an agent left is shown; what it planted is not followed."""

from __future__ import annotations

import os

from freehold.cli.workspace_files import files_of, newest_text


def _write(path, text, written=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (written, written))


def test_files_are_listed_by_path_and_the_newest_text_is_shown(tmp_path):
    _write(tmp_path / "workspace/a.py", "print(1)\n", 10)
    _write(tmp_path / "workspace/deep/report.md", "done\n", 20)
    found = files_of(tmp_path)
    assert [file.path for file in found] == ["workspace/a.py", "workspace/deep/report.md"]
    file, text = newest_text(tmp_path, found)
    assert (file.path, text) == ("workspace/deep/report.md", "done\n")


def test_a_link_to_a_file_of_the_host_is_neither_listed_nor_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "innocent.txt").symlink_to(secret)
    (workspace / "folder").symlink_to(tmp_path, target_is_directory=True)
    assert files_of(workspace) == []


def test_a_file_replaced_by_a_link_after_it_was_listed_is_not_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    workspace = tmp_path / "workspace"
    _write(workspace / "folder/report.md", "mine")
    found = files_of(workspace)
    (workspace / "folder/report.md").unlink()
    (workspace / "folder/report.md").symlink_to(secret)
    assert newest_text(workspace, found) is None


def test_a_folder_replaced_by_a_link_after_it_was_listed_is_not_entered(tmp_path):
    _write(tmp_path / "outside/report.md", "the host's")
    workspace = tmp_path / "workspace"
    _write(workspace / "folder/report.md", "mine")
    found = files_of(workspace)
    (workspace / "folder/report.md").unlink()
    (workspace / "folder").rmdir()
    (workspace / "folder").symlink_to(tmp_path / "outside", target_is_directory=True)
    assert newest_text(workspace, found) is None


def test_a_fifo_blocks_nobody(tmp_path):
    _write(tmp_path / "report.md", "mine")
    found = files_of(tmp_path)
    (tmp_path / "report.md").unlink()
    os.mkfifo(tmp_path / "report.md")
    assert files_of(tmp_path) == []
    assert newest_text(tmp_path, found) is None


def test_hidden_binary_and_large_files_are_not_shown(tmp_path):
    _write(tmp_path / ".bash_history", "ls")
    (tmp_path / "image").write_bytes(b"\xff\xfe\x00")
    _write(tmp_path / "large.txt", "x" * 70_000)
    found = files_of(tmp_path)
    assert [file.path for file in found] == ["image", "large.txt"]
    assert newest_text(tmp_path, found) is None


def test_a_workspace_that_was_never_made_is_empty(tmp_path):
    assert files_of(tmp_path / "absent") == []
