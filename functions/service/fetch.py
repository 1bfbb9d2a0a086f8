"""Unpacks the stream service before it starts: `FOLDER=BUCKET/KEY` for each archive.

It is run as text by the Python of a public image, which brings boto3: nothing of ours is there yet.
So it imports nothing of ours, and no image has to be built.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import boto3  # type: ignore[import-untyped]  # publishes no types


def fetch(places: list[str]) -> None:
    """Each archive into its folder."""
    s3 = boto3.client("s3")
    for place in places:
        folder, _, source = place.partition("=")
        bucket, _, key = source.partition("/")
        archive = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            packed.extractall(Path(folder))


if __name__ == "__main__":
    fetch(sys.argv[1:])
