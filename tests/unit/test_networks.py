"""What a sandbox may reach: from an environment, and from how this machine's package managers are
configured.
"""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from egress_proxy.policy import parse as parse_policy
from freehold.adapters.egress.policies import egress_policy
from freehold.adapters.egress.registries import registries
from freehold.domain.network import network_of
from freehold.engine.environment import sandbox_network, sandbox_packages
from freehold.errors import SandboxLost
from freehold.ports import Network, SandboxRef
from freehold.services.environments import (
    create_environment,
    delete_environment,
    update_environment,
)
from freehold.settings import Settings, explain
from freehold.wire.environments import CreateEnvironment, Environment, UpdateEnvironment
from freehold.wire.sessions import SessionAgent
from tests.protocol.sessions import asking_agent, seed_session
from tests.unit.sessions import Bench

# ---------------------------------------------------------------- environments
SERVERS = [{"type": "url", "name": "m", "url": "https://mcp.example:8443/sse"}]


def environment(networking):
    packages = {name: [] for name in ("apt", "cargo", "gem", "go", "npm", "pip")}
    return Environment.model_validate(
        {
            "id": "env_1",
            "name": "e",
            "description": None,
            "config": {"type": "cloud", "networking": networking, "packages": packages},
            "metadata": {},
            "created_at": "",
            "updated_at": "",
            "archived_at": None,
        }
    )


def limited(**fields):
    closed = {"allowed_hosts": [], "allow_mcp_servers": False, "allow_package_managers": False}
    return environment({"type": "limited", **closed, **fields})


@pytest.mark.parametrize(
    ("given", "network"),
    [
        (None, Network(hosts=())),
        (environment({"type": "unrestricted"}), Network(hosts=None)),
        (limited(), Network(hosts=())),
        (limited(allowed_hosts=["a.example"]), Network(hosts=("a.example",))),
        (limited(allow_package_managers=True), Network(package_managers=True)),
        (limited(allow_mcp_servers=True), Network(mcp_hosts=("mcp.example",))),
    ],
)
def test_what_an_environment_grants(given, network):
    fields = {**asking_agent().model_dump(), "mcp_servers": SERVERS}
    assert network_of(given, SessionAgent.model_validate(fields)) == network


def test_a_sandbox_has_the_network_that_its_environment_has_when_it_is_started(tmp_path):
    bench = Bench(tmp_path)
    records, blobs = bench.records, bench.app.blobs
    config = {"type": "cloud", "networking": {"type": "limited", "allowed_hosts": ["a.example"]}}
    request = CreateEnvironment.model_validate({"name": "e", "config": config})
    made = create_environment(bench.app, bench.caller, request)
    key, _ = seed_session(bench.app, environment_id=made.id)
    sandbox = SandboxRef(key.workspace_id, key.session_id)
    assert sandbox_network(records, blobs, sandbox) == Network(hosts=("a.example",))
    opened = {"config": {"type": "cloud", "networking": {"type": "unrestricted"}}}
    change = UpdateEnvironment.model_validate(opened)
    update_environment(bench.app, bench.caller, made.id, change)
    assert sandbox_network(records, blobs, sandbox) == Network(hosts=None)
    delete_environment(bench.app, bench.caller, made.id, force=True)
    assert sandbox_network(records, blobs, sandbox) == Network(hosts=())
    with pytest.raises(SandboxLost):
        sandbox_network(records, blobs, SandboxRef(key.workspace_id, "sesn_none"))
    records.close()


def test_a_sandbox_has_the_packages_that_its_environment_has_when_it_is_started(tmp_path):
    bench = Bench(tmp_path)
    records, blobs = bench.records, bench.app.blobs

    def asked(**packages):
        return {"config": {"type": "cloud", "packages": packages}}

    request = CreateEnvironment.model_validate({"name": "e", **asked(pip=["six"], apt=["jq"])})
    made = create_environment(bench.app, bench.caller, request)
    key, _ = seed_session(bench.app, environment_id=made.id)
    sandbox = SandboxRef(key.workspace_id, key.session_id)
    assert sandbox_packages(records, blobs, sandbox) == {"apt": ("jq",), "pip": ("six",)}
    change = UpdateEnvironment.model_validate(asked(apt=[], npm=["left-pad@1"]))
    update_environment(bench.app, bench.caller, made.id, change)
    assert sandbox_packages(records, blobs, sandbox) == {"npm": ("left-pad@1",), "pip": ("six",)}
    delete_environment(bench.app, bench.caller, made.id, force=True)
    assert sandbox_packages(records, blobs, sandbox) == {}
    with pytest.raises(SandboxLost):
        sandbox_packages(records, blobs, SandboxRef(key.workspace_id, "sesn_none"))
    records.close()


# ---------------------------------------------------------------- package managers
def read(tmp_path, extra=(), *, files=None, **variables):
    """The hosts and variables of a machine with these files; those of `~` are its user's."""
    for name, text in (files or {}).items():
        place = tmp_path / "home" / name[2:] if name.startswith("~/") else tmp_path / "root" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return registries(variables, extra, root=tmp_path / "root", home=tmp_path / "home")


PUBLIC = {
    *("pypi.org", "files.pythonhosted.org", "registry.npmjs.org", "index.crates.io"),
    *("static.crates.io", "crates.io", "proxy.golang.org", "sum.golang.org"),
    *("rubygems.org", "index.rubygems.org"),
}


def test_where_nothing_is_configured_the_public_registries_are(tmp_path):
    found = read(tmp_path, ["own.example"])
    assert set(found.hosts) == PUBLIC | {"own.example"}
    assert found.variables == {}


PIP = {"pypi.org", "files.pythonhosted.org"}


@pytest.mark.parametrize(
    ("files", "variables", "instead_of", "hosts"),
    [
        (
            {"etc/pip.conf": "[global]\nindex-url = https://pip.corp/simple\n"},
            {},
            PIP,
            {"pip.corp"},
        ),
        ({}, {"PIP_INDEX_URL": "https://pip.corp/simple"}, PIP, {"pip.corp"}),
        ({}, {"PIP_EXTRA_INDEX_URL": "https://pip.corp/simple"}, set(), {"pip.corp"}),
        (
            {
                "~/.config/pip/pip.conf": "[global]\nindex-url: https://pip.corp/simple\n"
                "extra-index-url =\n    https://one.corp/simple\n    file:///wheels\n"
            },
            {},
            PIP,
            {"pip.corp", "one.corp"},
        ),
        (
            {"~/.npmrc": "registry=https://npm.corp/\n//npm.corp/:_authToken=s3cret\n"},
            {},
            {"registry.npmjs.org"},
            {"npm.corp"},
        ),
        ({"~/.npmrc": "@mine:registry=https://npm.corp/\n"}, {}, set(), {"npm.corp"}),
        (
            {
                "~/.cargo/config.toml": "[source.crates-io]\nreplace-with = 'corp'\n"
                "[source.corp]\nregistry = 'sparse+https://cargo.corp/index/'\n"
            },
            {},
            {"index.crates.io", "static.crates.io", "crates.io"},
            {"cargo.corp"},
        ),
        (
            {"~/.cargo/config.toml": "[registries.corp]\nindex = 'https://cargo.corp/index'\n"},
            {},
            set(),
            {"cargo.corp"},
        ),
        (
            {},
            {"GOPROXY": "https://go.corp|direct"},
            {"proxy.golang.org", "sum.golang.org"},
            {"go.corp"},
        ),
        (
            {"~/.gemrc": "---\n:sources:\n- https://gem.corp/\n"},
            {},
            {"rubygems.org", "index.rubygems.org"},
            {"gem.corp"},
        ),
        (
            {
                "etc/apt/sources.list": "deb [arch=amd64] http://deb.corp/debian stable main\n"
                "# deb http://old.corp/debian x main\n",
                "etc/apt/sources.list.d/more.sources": "Types: deb\nURIs: https://apt.corp/x\n",
            },
            {},
            set(),
            {"deb.corp", "apt.corp"},
        ),
        ({"etc/pip.conf": "no [ini", "~/.cargo/config.toml": "= no toml"}, {}, set(), set()),
        (
            {"~/.npmrc": "registry=https://${NPM_HOST}/\n@mine:registry=https://Npm.Corp./\n"},
            {},
            {"registry.npmjs.org"},
            {"npm.corp"},
        ),
    ],
)
def test_what_is_configured_is_reached_in_place_of_the_public_one(
    tmp_path, files, variables, instead_of, hosts
):
    found = read(tmp_path, files=files, **variables)
    assert set(found.hosts) == (PUBLIC - instead_of) | hosts
    assert parse_policy(egress_policy(Network(package_managers=True), found))


def test_tools_are_told_of_mirrors_and_of_no_secret(tmp_path):
    found = read(
        tmp_path,
        files={"~/.npmrc": "registry=https://me:s3cret@npm.corp/r/?key=s3cret\n"},
        PIP_INDEX_URL="https://me:s3cret@pip.corp/simple",
        GOPROXY="https://go.corp,direct",
    )
    assert found.variables == {
        "PIP_INDEX_URL": "https://pip.corp/simple",
        "NPM_CONFIG_REGISTRY": "https://npm.corp/r/",
        "GOPROXY": "https://go.corp",
    }
    assert {"npm.corp", "pip.corp"} <= set(found.hosts)


# ---------------------------------------------------------------- settings
def test_the_operators_lists():
    given = {"FREEHOLD_PACKAGE_HOSTS": "a.corp, B.corp,", "FREEHOLD_REFUSED_RANGES": "52.0.0.0/8"}
    settings = Settings.from_environment(given, network="off")
    assert settings.package_hosts == ("a.corp", "b.corp")
    assert settings.refused_ranges == ("52.0.0.0/8",)
    assert settings.network == "off"
    assert Settings.from_environment({}).network == "on"


@pytest.mark.parametrize(
    "given",
    [
        {"FREEHOLD_PACKAGE_HOSTS": "https://a.corp"},
        {"FREEHOLD_PACKAGE_HOSTS": "*.corp"},
        {"FREEHOLD_PACKAGE_HOSTS": "a corp"},
        {"FREEHOLD_REFUSED_RANGES": "10.0.0.1/8"},
        {"FREEHOLD_REFUSED_RANGES": "corp"},
    ],
)
def test_a_list_that_is_wrong_is_named(given):
    with pytest.raises(ValidationError) as wrong:
        Settings.from_environment(given)
    assert next(iter(given)) in explain(wrong.value)
