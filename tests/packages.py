"""Packages made by tests: a Python source distribution whose build runs code of the test, and an
npm package with a script that npm runs when it installs it.
"""

from __future__ import annotations

import io
import json
import tarfile

_BACKEND = """
import os, uuid, zipfile

found = {{}}
METADATA = "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n"
TAGS = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"

def probe():
{probe}

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    probe()
    name = "{name}-1.0-py3-none-any.whl"
    about = "{name}-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        text = f"token = {{uuid.uuid4().hex!r}}\\nfound = {{found!r}}\\n"
        wheel.writestr("{name}.py", text)
        wheel.writestr(about + "/METADATA", METADATA)
        wheel.writestr(about + "/WHEEL", TAGS)
        wheel.writestr(about + "/RECORD", "")
    return name
"""
_PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def source_distribution(directory, name, probe="pass"):
    """Its module holds a `token` of this build and what `probe` has put into `found`."""
    indented = "\n".join("    " + line for line in probe.strip().splitlines())
    files = {
        "pyproject.toml": _PROJECT,
        "backend.py": _BACKEND.format(name=name, probe=indented),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
    }
    path = directory / f"{name}-1.0.tar.gz"
    return _archive(path, f"{name}-1.0", files)


def npm_package(directory, name, script="true"):
    """Its command `name` says "hello from npm"; `script` runs when it is installed."""
    about = {
        "name": name,
        "version": "1.0.0",
        "bin": {name: "run.js"},
        "scripts": {"postinstall": script},
    }
    files = {
        "package.json": json.dumps(about),
        "run.js": '#!/usr/bin/env node\nconsole.log("hello from npm")\n',
        "index.js": 'module.exports = "required"\n',
    }
    return _archive(directory / f"{name}-1.0.0.tgz", "package", files)


def _archive(path, root, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"{root}/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path
