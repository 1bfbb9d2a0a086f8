"""The store of a data directory or of an installation on AWS, without a server: one may be running
on it meanwhile.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from freehold.cli.installation import Installation
from freehold.cli.terminal import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from freehold.ports import App, Records


@contextmanager
def open_records(data_dir: Path, stack: str | None) -> Iterator[Records]:
    """The table alone: a server that runs on it has everything else. Raises CommandFailed."""
    if stack is not None:
        with table_of(stack) as table:
            yield table
        return
    if not data_dir.is_dir():
        raise CommandFailed(f"--data-dir {data_dir}: there is no such directory")
    from freehold.adapters.sqlite import (  # noqa: PLC0415 - no other command pays
        SqliteRecords,
        StoreUnusable,
    )

    try:
        records = SqliteRecords(data_dir / "freehold.db")
    except StoreUnusable as failed:
        raise CommandFailed(str(failed)) from failed
    try:
        yield records
    finally:
        records.close()


@contextmanager
def open_app(data_dir: Path, stack: str | None) -> Iterator[App]:
    """Records, blobs, secrets and log; everything else refuses. Creates nothing. Raises
    CommandFailed.
    """
    from freehold.errors import Unavailable  # noqa: PLC0415 - no other command pays

    with ExitStack() as opened:
        try:
            if stack is not None:
                yield opened.enter_context(_installation(stack))
            else:
                yield opened.enter_context(_directory(data_dir))
        except Unavailable as failed:
            raise CommandFailed(failed.message) from failed


@contextmanager
def _directory(data_dir: Path) -> Iterator[App]:
    from freehold.adapters.blobs import DirectoryBlobs  # noqa: PLC0415 - no other command pays
    from freehold.adapters.local_secrets import (  # noqa: PLC0415 - as above
        KeyFileUnusable,
        LocalSecrets,
    )
    from freehold.bootstrap_at_rest import at_rest  # noqa: PLC0415 - as above

    for name in ("freehold.db", "secret.key"):
        if not (data_dir / name).is_file():
            raise CommandFailed(f"--data-dir {data_dir}: there is no {name}, which a server makes")
    with open_records(data_dir, None) as records:
        try:
            secrets = LocalSecrets(data_dir / "secret.key")
        except (KeyFileUnusable, OSError) as failed:
            raise CommandFailed(str(failed)) from failed
        yield at_rest(records, DirectoryBlobs(data_dir / "blobs", is_shared=True), secrets)


@contextmanager
def _installation(stack: str) -> Iterator[App]:
    from freehold.adapters.aws_clients import LateClient  # noqa: PLC0415 - no other command pays
    from freehold.adapters.aws_stack import (  # noqa: PLC0415 - as above
        StackUnusable,
        in_one_line,
    )
    from freehold.adapters.kms_secrets import (  # noqa: PLC0415 - as above
        InstallationKeyUnusable,
        KmsSecrets,
    )
    from freehold.adapters.s3_blobs import S3Blobs  # noqa: PLC0415 - as above
    from freehold.bootstrap_at_rest import at_rest  # noqa: PLC0415 - as above
    from freehold.bootstrap_aws import records  # noqa: PLC0415 - as above

    data = Installation(stack).stack("Data")
    try:
        with in_one_line(data.name):
            table = records(data.output("TableName"))
            secrets = KmsSecrets(LateClient("kms"), data.output("KeyArn"), table)
            yield at_rest(table, S3Blobs(LateClient("s3"), data.output("BucketName")), secrets)
    except (StackUnusable, InstallationKeyUnusable) as failed:
        raise CommandFailed(str(failed)) from failed


@contextmanager
def table_of(stack: str) -> Iterator[Records]:
    """Of an installation on AWS. Raises CommandFailed."""
    from freehold.adapters.aws_stack import (  # noqa: PLC0415 - no other command pays
        StackUnusable,
        in_one_line,
    )
    from freehold.bootstrap_aws import records  # noqa: PLC0415 - as above

    data = Installation(stack).stack("Data")
    try:
        with in_one_line(data.name):
            yield records(data.output("TableName"))
    except StackUnusable as failed:
        raise CommandFailed(str(failed)) from failed
