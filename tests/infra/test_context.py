"""The context keys: one list in code, in cdk.json and in the documents."""

from __future__ import annotations

import ast
import json

import pytest

from tests.infra.synthesis import APP, ROOT, run_program


def _fields():
    """Names and literal defaults of `Context`; the module needs packages that are not here."""
    tree = ast.parse((ROOT / "infra/context.py").read_text())
    (context,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Context"]
    found = {}
    for node in context.body:
        if not isinstance(node, ast.AnnAssign):
            continue
        value = node.value
        if isinstance(value, ast.Call):
            given = [k.value for k in value.keywords if k.arg == "default"] or value.args
            value = given[0]
        found[node.target.id] = ast.literal_eval(value)
    return found


def test_cdk_json_holds_every_key_with_its_default():
    assert json.loads((ROOT / "cdk.json").read_text())["context"] == _fields()


def test_every_key_is_documented():
    text = (ROOT / "docs/aws.md").read_text()
    assert not [name for name in _fields() if f"`{name}`" not in text]


@pytest.mark.parametrize(
    ("context", "word"),
    [
        ({"architecture": "riscv"}, "architecture"),
        ({"log_retention_days": 5}, "log_retention_days"),
        ({"name": "no spaces allowed"}, "name"),
        ({"stream_seconds": 900}, "stream_seconds"),
        ({"stream_service": "true"}, "stream_service_certificate_arn"),
        ({"stream_service_metrics_port": "8080"}, "stream_service_metrics_port"),
        ({"layer": "no/such/folder"}, "./scripts/layer"),
        ({"cors_origins": '["*"]'}, "cors_origins"),
        ({"reserved_concurrency": '{"nobody": 5}'}, "nobody"),
        ({"alarm_email": "somebody"}, "alarm_email"),
        ({"prices": "no/such/file.json"}, "no/such/file.json"),
        ({"prices": "freehold/list_prices.json"}, "longer than 2000 characters"),
        ({"workspace_daily_cap": "much"}, "workspace_daily_cap"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_key_is_named_before_anything_is_synthesized(assembly, tmp_path, context, word):
    layer = str(assembly.folder.parent / "layer")
    done = run_program(APP, tmp_path / "out", {"layer": layer, **context})
    assert done.returncode == 1
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*.template.json"))
