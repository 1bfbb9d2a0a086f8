"""`read`, `write` and `edit`. They run under the tools' identity, never in the supervisor."""

# ruff: noqa: PTH123 - descriptors are opened with flags

from __future__ import annotations

import base64
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from freehold.toolset import MAX_IMAGE_BASE64_BYTES, MAX_PDF_BYTES, MAX_TEXT_BYTES
from sandbox_task.tool_paths import Reach, ToolFailure, failure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from freehold.toolset import JsonObject

_CHUNK_BYTES = 64 * 1024
_PDF = "application/pdf"
_MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".pdf": _PDF,
}


def read(reach: Reach, file_path: str, view_range: list[int] | None = None) -> str | JsonObject:
    """The text, or an image or document block. Raises ToolFailure."""
    path = reach.resolve("read", file_path)
    if view_range and len(view_range) != 2:  # noqa: PLR2004 - first and last
        raise ToolFailure("read: view_range must be [start_line, end_line]")
    try:
        with _opened("read", file_path, path) as (file, size):
            media_type = _MEDIA_TYPES.get(path.suffix.lower())
            if media_type is not None:
                if view_range:
                    raise ToolFailure("read: view_range is not supported for image/PDF files")
                return _block(file, file_path, size, media_type)
            if not view_range:
                return _whole_text(file, file_path, size)
            if size > MAX_TEXT_BYTES:
                return _range_of_large_file(file, file_path, view_range)
            return _lines(file.read().decode(), view_range)
    except UnicodeDecodeError:
        raise ToolFailure(
            f"read: {file_path}: not valid UTF-8 text"
            " (binary files are only supported for image/PDF extensions)"
        ) from None
    except OSError as error:
        raise failure("read", file_path, error) from error


def write(reach: Reach, file_path: str, content: str) -> str:
    """A confirmation. Raises ToolFailure."""
    path = reach.resolve("write", file_path)
    reach.check_writable("write", file_path, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, content)
    except OSError as error:
        raise failure("write", file_path, error) from error
    return f"wrote {len(content)} bytes to {file_path}"


def edit(
    reach: Reach,
    file_path: str,
    old_string: str,
    new_string: str,
    replace_all: bool | None = None,
) -> str:
    """A confirmation. Raises ToolFailure."""
    path = reach.resolve("edit", file_path)
    reach.check_writable("edit", file_path, path)
    try:
        with _opened("edit", file_path, path) as (file, size):
            if size > MAX_TEXT_BYTES:
                raise ToolFailure(
                    f"edit: {file_path} is {size} bytes, exceeds {MAX_TEXT_BYTES}-byte limit. "
                    "The edit tool loads the whole file and cannot modify a file this large."
                )
            text = file.read().decode()
        count = text.count(old_string)
        if count == 0:
            raise ToolFailure(f"edit: old_string not found in {file_path}")
        if not replace_all and count > 1:
            raise ToolFailure(
                f"edit: old_string appears {count} times in {file_path} (must be unique)"
            )
        _replace(path, text.replace(old_string, new_string, -1 if replace_all else 1))
    except UnicodeDecodeError:
        raise ToolFailure(
            f"edit: {file_path}: not valid UTF-8 text (cannot edit binary files)"
        ) from None
    except OSError as error:
        raise failure("edit", file_path, error) from error
    return f"edited {file_path} ({count if replace_all else 1} replacement(s))"


@contextmanager
def _opened(tool: str, given: str, path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file and its size. Opening a FIFO without `O_NONBLOCK` would wait for a writer."""
    if not stat.S_ISREG(path.stat().st_mode):  # opening a device can itself do something
        raise ToolFailure(f"{tool}: {given}: not a regular file")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):  # it was another file a moment ago
        os.close(descriptor)
        raise ToolFailure(f"{tool}: {given}: not a regular file")
    with open(descriptor, "rb") as file:
        yield file, status.st_size


def _replace(path: Path, text: str) -> None:
    """A FIFO without a reader is refused (ENXIO) rather than waited for."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags, 0o666), "wb") as file:
        file.write(text.encode())


def _block(file: BinaryIO, given: str, size: int, media_type: str) -> JsonObject:
    is_pdf = media_type == _PDF
    # The API's limit for images is on the encoded form: 4 characters for each 3 bytes.
    limit = MAX_PDF_BYTES if is_pdf else MAX_IMAGE_BASE64_BYTES // 4 * 3
    if size > limit:
        raise ToolFailure(
            f"read: {given} is {size} bytes, exceeds {limit}-byte limit for image/PDF files."
        )
    data = base64.standard_b64encode(file.read(limit)).decode()
    source: JsonObject = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "document" if is_pdf else "image", "source": source}


def _whole_text(file: BinaryIO, given: str, size: int) -> str:
    if size > MAX_TEXT_BYTES:
        raise ToolFailure(
            f"read: {given} is {size} bytes, exceeds {MAX_TEXT_BYTES}-byte limit. "
            "Use the view_range parameter to read specific line ranges, e.g. view_range: [1, 500]."
        )
    return file.read(MAX_TEXT_BYTES).decode()


def _lines(text: str, view_range: list[int]) -> str:
    first, last = view_range
    lines = text.split("\n")
    return "\n".join(lines[max(0, first - 1) : last if last > 0 else len(lines)])


def _range_of_large_file(file: BinaryIO, given: str, view_range: list[int]) -> str:
    """Reads no further than the range and holds no more than it."""
    first, last = view_range
    start = max(0, first - 1)
    selected = bytearray()
    for number, line in enumerate(_pieces(file)):
        if 0 < last <= number:
            break
        if number >= start:
            selected += line.removesuffix(b"\n") if number + 1 == last else line
        if len(selected) > MAX_TEXT_BYTES:
            raise _range_too_large(given, view_range)
    return selected.decode()


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """Lines with their line feeds; of a line beyond every limit, a beginning that is."""
    while line := file.readline(MAX_TEXT_BYTES + 2):
        yield line
        while not line.endswith(b"\n") and (line := file.readline(_CHUNK_BYTES)):
            pass


def _range_too_large(given: str, view_range: list[int]) -> ToolFailure:
    first, last = view_range
    start = max(0, first - 1)
    if last - start == 1:
        return ToolFailure(
            f"read: line {start + 1} of {given} alone exceeds {MAX_TEXT_BYTES}-byte limit. "
            "The read tool cannot return part of a line, so view_range cannot narrow this further."
        )
    return ToolFailure(
        f"read: view_range [{first}, {last}] of {given} exceeds {MAX_TEXT_BYTES}-byte limit. "
        "Narrow the view_range to read a smaller portion."
    )
