"""`freehold deploy check`, against an account that answers as the APIs of AWS describe."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import pytest
import typer

from freehold import keys
from freehold.adapters.dynamodb.attributes import from_item, from_key
from freehold.cli.deploy import deploy
from freehold.schema import VERSION, current_item
from tests.loopback import LoopbackServer, QuietHandler

PARAMETER = "/cdk-bootstrap/hnb659fds/version"
DENIED = {
    "__type": "AccessDeniedException",
    "message": "User: arn:aws:iam::123456789012:user/reader is not authorized",
}
IDENTITY = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/operator</Arn>
<UserId>A</UserId><Account>123456789012</Account></GetCallerIdentityResult>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"""
ERROR = """<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>
</Error><RequestId>1</RequestId></ErrorResponse>"""
STACKS = """<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
<DescribeStacksResult><Stacks><member><StackName>x</StackName>
<CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>{status}</StackStatus>
<Outputs><member><OutputKey>TableName</OutputKey><OutputValue>Table</OutputValue></member></Outputs>
</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"""
TEMPLATE = """<GetTemplateResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
<GetTemplateResult><TemplateBody>{body}</TemplateBody></GetTemplateResult></GetTemplateResponse>"""
QUOTAS = {
    "states": {
        "StartExecution throttle token refill rate per second": 300,
        "StateTransition throttle token refill rate per second": 5000,
    },
    "apigateway": {"L-8A5B8E43": 10000, "L-9ED1E49A": 500},
    "fargate": {"Fargate On-Demand vCPU resource count": 6},
}


OPERATIONS = {
    "GetCallerIdentity": "_identity",
    "GetParameter": "_parameter",
    "DescribeStacks": "_stack",
    "GetTemplate": "_template",
    "BatchGetItem": "_items",
    "GetAccountSettings": "_settings",
    "ListServiceQuotas": "_quotas",
}


@dataclass
class Facts:
    """What the account has. `denied` are operations that the caller may not ask for, `schema` is
    the item of the table, `reserved` what the deployed functions have.
    """

    bootstrap: str | None = "30"
    limit: int = 1000
    unreserved: int = 1000
    stacks: dict = field(default_factory=dict)
    schema: dict | None = field(default_factory=current_item)
    reserved: int = 0
    denied: set = field(default_factory=set)
    is_known: bool = True
    asked: list = field(default_factory=list)


class Account(QuietHandler):
    """Answers by operation."""

    facts: Facts

    def serve(self, body):
        target = self.headers.get("x-amz-target", "").rpartition(".")[2]
        if self.command == "GET":
            self._perform("GetAccountSettings", {})
        elif target:
            self._perform(target, json.loads(body))
        else:
            given = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            self._perform(given["Action"], given)

    def _perform(self, operation, given):
        self.facts.asked.append(operation)
        if operation in self.facts.denied:
            said = ERROR.format(code="AccessDenied", message=DENIED["message"])
            is_xml = operation in {"DescribeStacks", "GetTemplate"}
            self.answer(403, said if is_xml else json.dumps(DENIED))
        else:
            self.answer(*getattr(self, OPERATIONS[operation])(given))

    def _identity(self, _):
        if self.facts.is_known:
            return 200, IDENTITY
        said = "The security token included in the request is invalid."
        return 403, ERROR.format(code="InvalidClientTokenId", message=said)

    def _parameter(self, given):
        assert given["Name"] == PARAMETER
        if self.facts.bootstrap is None:
            return 400, json.dumps({"__type": "ParameterNotFound"})
        return 200, json.dumps({"Parameter": {"Name": PARAMETER, "Value": self.facts.bootstrap}})

    def _stack(self, given):
        name = given["StackName"]
        if name in self.facts.stacks:
            return 200, STACKS.format(status=self.facts.stacks[name])
        said = f"Stack with id {name} does not exist"
        return 400, ERROR.format(code="ValidationError", message=said)

    def _template(self, given):
        if given["StackName"] not in self.facts.stacks:
            return self._stack(given)
        function = {"ReservedConcurrentExecutions": self.facts.reserved}
        found = {"Function": {"Type": "AWS::Lambda::Function", "Properties": function}}
        return 200, TEMPLATE.format(body=json.dumps({"Resources": found}))

    def _items(self, given):
        assert given["RequestItems"]["Table"]["Keys"] == [from_key(keys.SCHEMA)]
        stored = self.facts.schema
        found = [] if stored is None else [from_item(keys.SCHEMA, stored)]
        return 200, json.dumps({"Responses": {"Table": found}, "UnprocessedKeys": {}})

    def _settings(self, _):
        found = {
            "ConcurrentExecutions": self.facts.limit,
            "UnreservedConcurrentExecutions": self.facts.unreserved,
        }
        return 200, json.dumps({"AccountLimit": found})

    def _quotas(self, given):
        found = [
            {"QuotaName": f"{name}, in words", "QuotaCode": name, "Value": value}
            if name.startswith("L-")
            else {"QuotaName": name, "QuotaCode": "L-1", "Value": value}
            for name, value in QUOTAS[given["ServiceCode"]].items()
        ]
        return 200, json.dumps({"Quotas": found})


@contextmanager
def _account(facts):
    with LoopbackServer(type("Own", (Account,), {"facts": facts})) as server:
        yield server.url


@pytest.fixture
def assembly(tmp_path):
    """Two stacks, as the CDK writes them."""
    functions = {
        folder: {
            "Handler": f"functions.{folder}.index.handler",
            "MemorySize": 512,
            "Architectures": ["arm64"],
        }
        for folder in ("api", "run_tools", "run_turn", "wake")
    }
    functions["run_turn"]["ReservedConcurrentExecutions"] = 150
    resources = {
        **{n: {"Type": "AWS::Lambda::Function", "Properties": p} for n, p in functions.items()},
        "Socket": {"Type": "AWS::ApiGatewayV2::Api"},
        "Key": {"Type": "AWS::KMS::Key"},
        "New": {"Type": "AWS::Nobody::Knows"},
    }
    artifacts = {}
    for name, found in (("Mine-Data", {}), ("Mine-Engine", resources)):
        (tmp_path / f"{name}.template.json").write_text(json.dumps({"Resources": found}))
        properties = {
            "templateFile": f"{name}.template.json",
            "requiresBootstrapStackVersion": 6,
            "bootstrapStackVersionSsmParameter": PARAMETER,
        }
        artifacts[name] = {"type": "aws:cloudformation:stack", "properties": properties}
        artifacts[f"{name}.assets"] = {"type": "cdk:asset-manifest"}
    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
    return tmp_path


@pytest.fixture
def check(monkeypatch, capsys, assembly):
    """Runs the command in an account of these facts; exit code and checks by name."""

    def run(facts, *arguments):
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        command = typer.main.get_command(deploy)
        with _account(facts) as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)
            code = command(
                ["check", "--assembly", str(assembly), "--json", *arguments], standalone_mode=False
            )
        printed = json.loads(capsys.readouterr().out)
        assert printed["ok"] == (code == 0)
        found = {}
        for line in printed["checks"]:
            assert "\n" not in line["detail"] + line["remedy"]
            assert line["remedy"] or line["status"] == "ok"
            found.setdefault(line["name"], []).append(line)
        return code, found

    return run


def test_an_account_that_has_everything(check):
    facts = Facts(stacks={"Mine-Data": "UPDATE_COMPLETE"})
    code, found = check(facts)
    assert code == 0
    assert {line["status"] for name in found for line in found[name][:1]} == {"ok"}
    assert found["Region"][0]["detail"] == "eu-west-1"
    assert found["Credentials"][0]["detail"] == "arn:aws:iam::123456789012:user/operator"
    assert [line["detail"] for line in found["Deployed"]] == ["Mine-Data is UPDATE_COMPLETE"]
    said = [line["detail"] for line in found["Quota"]]
    assert said[0].startswith("300 starts")
    assert said[1].startswith("1,250 runs a second")
    assert said[2].startswith("10,000 requests")
    assert said[3].startswith("500 new WebSockets")


def test_it_reads_and_changes_nothing(check):
    asked = {
        *("GetCallerIdentity", "GetParameter", "DescribeStacks"),
        *("GetAccountSettings", "ListServiceQuotas"),
    }
    facts = Facts()
    check(facts)
    assert set(facts.asked) == asked
    facts = Facts(unreserved=200, stacks={"Mine-Data": "UPDATE_COMPLETE"})
    check(facts)
    assert set(facts.asked) == {*asked, "BatchGetItem", "GetTemplate"}


@pytest.mark.parametrize(
    ("schema", "status", "words", "remedy"),
    [
        (current_item(), "ok", f"schema version {VERSION}", ""),
        (None, "note", "no schema version recorded", "freehold migrate --stack Mine-Data"),
        ({"version": 1, "release": "0.1.0"}, "note", "schema version 1;", "freehold migrate"),
        ({"version": 9, "release": "7.1.0"}, "missing", "Freehold 7.1.0", "check that release out"),
    ],
    ids=["same", "none", "older", "later"],
)
def test_a_table_of_another_release_is_named(check, schema, status, words, remedy):
    code, found = check(Facts(stacks={"Mine-Data": "UPDATE_COMPLETE"}, schema=schema))
    (line,) = found["Table"]
    assert (line["status"], words in line["detail"]) == (status, True)
    assert line["remedy"].startswith(remedy)
    assert code == (status == "missing")


def test_where_there_is_no_table_yet_none_is_asked(check):
    _, found = check(Facts())
    assert "Table" not in found


def test_what_the_installation_has_reserved_already_is_not_counted_against_it(check):
    """Else the second deployment of an installation would always be said to fail."""
    stacks = {"Mine-Engine": "UPDATE_COMPLETE"}
    code, found = check(Facts(limit=300, unreserved=150, reserved=150, stacks=stacks))
    (line,) = found["Lambda concurrency"]
    assert (code, line["status"]) == (0, "ok")
    code, found = check(Facts(limit=300, unreserved=150, reserved=50, stacks=stacks))
    assert (code, found["Lambda concurrency"][0]["status"]) == (1, "missing")


def test_the_cost_is_said_with_what_nobody_has_a_price_for(check):
    _, found = check(Facts())
    floor, unknown = found["Monthly floor"]
    assert floor["detail"].startswith("$1.00 while nobody uses it: 1 KMS key $1.00")
    assert unknown["status"] == "note"
    assert "AWS::Nobody::Knows" in unknown["detail"]
    (hour,) = found["Session-hour"]
    assert "Lambda run_turn, 512 MB $0.0244" in hour["detail"]


def test_an_installation_with_sandboxes_is_told_their_quota_and_their_hour(check, assembly):
    engine = assembly / "Mine-Engine.template.json"
    found = json.loads(engine.read_text())
    told = {"CPU": "512", "MEMORY_MIB": "1024", "ARCHITECTURE": "arm64"}
    variables = {f"FREEHOLD_SANDBOX_{name}": value for name, value in told.items()}
    found["Resources"]["wake"]["Properties"]["Environment"] = {"Variables": variables}
    found["Resources"]["Cluster"] = {"Type": "AWS::ECS::Cluster"}
    engine.write_text(json.dumps(found))
    code, found = check(Facts())
    assert code == 0
    assert found["Quota"][-1]["detail"].startswith("6 processors of Fargate")
    (hour,) = found["Sandbox-hour"]
    assert hour["detail"].startswith("$0.0198 while it runs")


def test_prices_of_ones_own_are_used(check, tmp_path):
    price = {"usd": "3.00", "per": 1, "unit": "m", "source": "mine", "read": "2026-11-21"}
    own = {"region": "eu-west-1", "dated": "2026-11-21"}
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({**own, "prices": {"kms.key_month": {**price, "how": "read"}}}))
    _, found = check(Facts(), "--prices", str(file))
    assert found["Monthly floor"][0]["detail"].startswith("$3.00")
    file.write_text("{}")
    code, found = check(Facts(), "--prices", str(file))
    assert code == 1
    assert found["Prices"][0]["status"] == "missing"


@pytest.mark.parametrize(
    ("facts", "name", "words", "remedy"),
    [
        (Facts(is_known=False), "Credentials", "InvalidClientTokenId", "aws configure"),
        (Facts(bootstrap=None), "Bootstrap", "no stack", "./scripts/cdk bootstrap"),
        (Facts(bootstrap="5"), "Bootstrap", "at least 6", "./scripts/cdk bootstrap"),
        (Facts(limit=200, unreserved=200), "Lambda concurrency", "150 are to be", "L-B99A9384"),
        (
            Facts(stacks={"Mine-Engine": "ROLLBACK_COMPLETE"}),
            "Deployed",
            "Mine-Engine is",
            "delete",
        ),
        (
            Facts(stacks={"Mine-Data": "UPDATE_IN_PROGRESS"}),
            "Deployed",
            "Mine-Data is UPDATE_IN_PROGRESS",
            "wait",
        ),
    ],
    ids=["key", "new", "old", "reserved", "rolled back", "busy"],
)
def test_what_would_make_the_deployment_fail(check, facts, name, words, remedy):
    code, found = check(facts)
    assert code == 1
    (line,) = [line for line in found[name] if line["status"] == "missing"]
    assert words in line["detail"]
    assert remedy in line["remedy"]


def test_without_credentials_nobody_else_is_asked(check):
    facts = Facts(is_known=False)
    _, found = check(facts)
    assert facts.asked == ["GetCallerIdentity"]
    assert found["Monthly floor"][0]["status"] == "ok"


@pytest.mark.parametrize(
    ("operation", "name", "unreserved"),
    [
        ("GetParameter", "Bootstrap", 1000),
        ("DescribeStacks", "Deployed", 1000),
        ("BatchGetItem", "Table", 1000),
        ("GetAccountSettings", "Lambda concurrency", 1000),
        ("GetTemplate", "Lambda concurrency", 200),
        ("ListServiceQuotas", "Quota", 1000),
    ],
)
def test_what_may_not_be_read_is_one_line_and_no_failure(check, operation, name, unreserved):
    stacks = {"Mine-Data": "UPDATE_COMPLETE"}
    code, found = check(Facts(denied={operation}, unreserved=unreserved, stacks=stacks))
    assert code == 0
    assert {line["status"] for line in found[name]} == {"note"}
    assert all("AccessDenied" in line["detail"] for line in found[name])
    assert all("allow " in line["remedy"] for line in found[name])


def test_a_new_account_is_told_how_few_sessions_work_at_once(check, assembly):
    engine = assembly / "Mine-Engine.template.json"
    found = json.loads(engine.read_text())
    del found["Resources"]["run_turn"]["Properties"]["ReservedConcurrentExecutions"]
    engine.write_text(json.dumps(found))
    code, found = check(Facts(limit=10, unreserved=10))
    assert code == 0
    (line,) = found["Lambda concurrency"]
    assert (line["status"], "10 at once" in line["detail"]) == ("note", True)


def test_without_a_region_the_remedy_is_to_set_one(assembly, monkeypatch, capsys):
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    command = typer.main.get_command(deploy)
    assert command(["check", "--assembly", str(assembly)], standalone_mode=False) == 1
    line = next(n for n in capsys.readouterr().out.splitlines() if "Region" in n)
    assert "MISSING" in line
    assert "specify a region" in line


def test_what_is_not_aws_is_one_line(check, monkeypatch):
    monkeypatch.setattr("tests.unit.test_cli_deploy_check.IDENTITY", "<html>Log in to the hotel")
    code, found = check(Facts())
    assert code == 1
    assert found["Credentials"][0]["detail"] == "what answers is not AWS"


def test_a_folder_without_stacks_is_one_line(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "none"):
        command = typer.main.get_command(deploy)
        code = command(["check", "--assembly", str(folder)], standalone_mode=False)
        assert code == 1
        assert "./scripts/cdk synth" in capsys.readouterr().out
