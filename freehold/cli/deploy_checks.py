"""What `freehold deploy check` looks at. A check never raises: what it cannot find out is its
finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from freehold import keys
from freehold.adapters.aws_account import AccountUnusable, AwsAccount
from freehold.adapters.aws_clients import client
from freehold.adapters.aws_stack import AwsStack, StackMissing, StackUnusable, in_one_line
from freehold.aws_cost import (
    Counts,
    Functions,
    Hour,
    PriceTable,
    PriceTableInvalid,
    control_plane,
    monthly_floor,
    sandbox_of,
    total,
)
from freehold.bootstrap_aws import records
from freehold.cli.assembly import Assembly, AssemblyUnusable, reserved_concurrency
from freehold.cli.checks import Check
from freehold.schema import VERSION, Schema, refusal, schema_of

_TRANSITIONS_OF_A_RUN = 4
_NEVER_RESERVED = 100
"""Lambda keeps so many invocations at once for functions without a reservation."""
_FEW_SESSIONS = 100
_UNSTARTABLE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
_RATES = (
    ("states", "StartExecution throttle token refill rate per second", "starts of runs a second"),
    ("states", "StateTransition throttle token refill rate per second", "runs a second"),
    ("apigateway", "L-8A5B8E43", "requests a second, of all APIs of the account"),
)
"""Service, and the quota's name or, where AWS publishes it, the code that no rewording changes."""
_SOCKETS = ("apigateway", "L-9ED1E49A", "new WebSockets a second")
_TASKS = (
    "fargate",
    "Fargate On-Demand vCPU resource count",
    "processors of Fargate at once, those of sandboxes among them",
)


def deploy_checks(folder: Path, prices: Path | None) -> list[Check]:
    """Every check, in the order they are shown. Without stacks there is nothing to hold the account
    against, and without credentials nobody to ask.
    """
    try:
        assembly = Assembly.read(folder)
    except AssemblyUnusable as missing:
        return [Check("Stacks", "missing", str(missing), "./scripts/cdk synth --quiet")]
    named = Check("Stacks", "ok", f"{', '.join(assembly.stacks)} in {folder}")
    return [named, *_of_account(assembly), *_of_cost(assembly, prices)]


def _of_account(assembly: Assembly) -> Iterator[Check]:
    account = AwsAccount(client)
    try:
        region = account.region()
    except AccountUnusable as failed:
        yield Check("Region", "missing", str(failed), "export AWS_REGION=...")
        return
    yield Check("Region", "ok", region)
    try:
        identity = account.identity()
    except AccountUnusable as failed:
        remedy = f"aws configure, or aws sso login; is {region} switched on for the account?"
        yield Check("Credentials", "missing", str(failed), remedy)
        return
    yield Check("Credentials", "ok", identity)
    yield _bootstrap(account, assembly)
    yield from _stacks(assembly)
    yield from _table(assembly)
    yield _concurrency(account, assembly)
    rates = [*_RATES]
    if list(assembly.resources("AWS::ApiGatewayV2::Api")):
        rates.append(_SOCKETS)
    if list(assembly.resources("AWS::ECS::Cluster")):
        rates.append(_TASKS)
    for service, name, what in rates:
        yield _rate(account, service, name, what)


def _bootstrap(account: AwsAccount, assembly: Assembly) -> Check:
    name, least = "Bootstrap", assembly.bootstrap_version
    remedy = "./scripts/cdk bootstrap"
    try:
        version = account.bootstrap_version(assembly.bootstrap_parameter)
    except AccountUnusable as failed:
        return Check(name, "note", str(failed), "allow ssm:GetParameter to see its version")
    if version is None:
        return Check(name, "missing", "the CDK has no stack here yet", remedy)
    if version < least:
        return Check(name, "missing", f"version {version}, at least {least} is needed", remedy)
    return Check(name, "ok", f"version {version}")


def _stacks(assembly: Assembly) -> Iterator[Check]:
    """One that CloudFormation would refuse to update; those that are not there yet are fine."""
    for name in assembly.stacks:
        try:
            status = AwsStack(name, client).status()
        except StackMissing:
            continue
        except StackUnusable as failed:
            remedy = "allow cloudformation:DescribeStacks"
            yield Check("Deployed", "note", str(failed), remedy)
            return
        if status in _UNSTARTABLE:
            remedy = f"aws cloudformation delete-stack --stack-name {name}"
            yield Check("Deployed", "missing", f"{name} is {status}", remedy)
        elif status.endswith("IN_PROGRESS"):
            remedy = "wait until the other deployment has ended"
            yield Check("Deployed", "missing", f"{name} is {status}", remedy)
        else:
            yield Check("Deployed", "ok", f"{name} is {status}")


def _table(assembly: Assembly) -> Iterator[Check]:
    """Whether this release knows what the table of the installation holds, which its functions do
    not ask; nothing where there is none yet.
    """
    name, stack = "Table", assembly.data_stack()
    if stack is None:
        return
    try:
        found = _schema(AwsStack(stack, client))
    except StackMissing:
        return
    except StackUnusable as failed:
        remedy = "allow cloudformation:DescribeStacks and dynamodb:BatchGetItem"
        yield Check(name, "note", str(failed), remedy)
        return
    if found.version > VERSION:
        yield Check(name, "missing", refusal(found), "check that release out, or a later one")
    elif found.version < VERSION:
        known = f"schema version {found.version}" if found.release else "no schema version recorded"
        remedy = f"freehold migrate --stack {stack}, after the deployment"
        yield Check(name, "note", f"{known}; this release has {VERSION}", remedy)
    else:
        yield Check(name, "ok", f"schema version {VERSION}")


def _schema(data: AwsStack) -> Schema:
    """Of the deployed table. Raises StackMissing, StackUnusable."""
    with in_one_line(data.name):
        return schema_of(records(data.output("TableName")).get([keys.SCHEMA])[0])


def _concurrency(account: AwsAccount, assembly: Assembly) -> Check:
    """A session holds one invocation while it works, and so does a stream while it is open."""
    name, raise_it = "Lambda concurrency", _increase("lambda", "L-B99A9384")
    try:
        found = account.concurrency()
    except AccountUnusable as failed:
        return Check(name, "note", str(failed), "allow lambda:GetAccountSettings")
    wanted = assembly.reserved_concurrency()
    detail = f"{found.limit} at once, {found.unreserved} of them unreserved"
    if wanted and found.unreserved - wanted < _NEVER_RESERVED:
        detail = f"{detail}; {wanted} are to be reserved, and {_NEVER_RESERVED} must be left"
        try:
            held = sum(_held(stack) for stack in assembly.stacks)
        except StackUnusable as failed:
            return Check(name, "note", f"{detail}: {failed}", "allow cloudformation:GetTemplate")
        if found.unreserved + held - wanted < _NEVER_RESERVED:
            return Check(name, "missing", detail, f"reserved_concurrency, or {raise_it}")
        return Check(name, "ok", f"{detail}; {held} of them are")
    if found.unreserved < _FEW_SESSIONS:
        few = f"{detail}: no more sessions than that work at the same time"
        return Check(name, "note", few, raise_it)
    return Check(name, "ok", detail)


def _held(stack: str) -> int:
    """What its functions have reserved already, which nobody else can have meanwhile."""
    try:
        return reserved_concurrency(AwsStack(stack, client).template())
    except StackMissing:
        return 0


def _rate(account: AwsAccount, service: str, name: str, what: str) -> Check:
    remedy = f"aws service-quotas list-service-quotas --service-code {service}"
    try:
        value = account.quotas(service).get(name)
    except AccountUnusable as failed:
        return Check("Quota", "note", f"{what}: {failed}", "allow servicequotas:ListServiceQuotas")
    if value is None:
        return Check("Quota", "note", f"{what}: AWS names no quota `{name}` here", remedy)
    if name.startswith("StateTransition"):
        value /= _TRANSITIONS_OF_A_RUN
    return Check("Quota", "ok", f"{value:,.0f} {what}")


def _increase(service: str, code: str) -> str:
    return (
        f"aws service-quotas request-service-quota-increase --service-code {service}"
        f" --quota-code {code} --desired-value 1000"
    )


# ---------------------------------------------------------------- what it costs
def _of_cost(assembly: Assembly, prices: Path | None) -> Iterator[Check]:
    try:
        table = PriceTable.read(prices) if prices is not None else PriceTable.shipped()
    except PriceTableInvalid as wrong:
        yield Check("Prices", "missing", str(wrong), "--prices")
        return
    of = f"{table.region}, {table.dated}, without tax or free tier"
    templates = list(assembly.stacks.values())
    floor = monthly_floor(templates, table)
    parts = ", ".join(f"{line.count} {line.what} ${line.usd:.2f}" for line in floor.lines)
    yield Check("Monthly floor", "ok", f"${floor.usd:.2f} while nobody uses it: {parts} ({of})")
    if floor.unknown:
        remedy = "look them up; the floor may be higher"
        yield Check("Monthly floor", "note", f"no price for {', '.join(floor.unknown)}", remedy)
    try:
        hour = control_plane(table, Counts.shipped(), Functions.of(templates))
    except ValueError as incomplete:
        yield Check("Session-hour", "note", str(incomplete), "./scripts/cdk synth --all")
        return
    parts = ", ".join(f"{line.what} ${line.usd:.4f}" for line in hour if line.usd)
    assumed = f"{parts}; {Hour().turns} turns, without the model's price"
    yield Check("Session-hour", "ok", f"${total(hour):.4f} at work: {assumed} ({of})")
    line = sandbox_of(table, templates)
    if line is not None:
        yield Check("Sandbox-hour", "ok", f"${line.usd:.4f} while it runs: {line.what} ({of})")
