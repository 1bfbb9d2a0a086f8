"""Items, expressions and the index, without a table."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.adapters.dynamodb import expressions, schema
from freehold.adapters.dynamodb.attributes import from_item, from_value, to_item, to_value
from freehold.errors import ItemTooLarge
from freehold.items import limits
from freehold.items.ranges import SortKeys
from freehold.keys import Key
from freehold.ports import Condition, Write

KEY = Key("p", "a")
MAX_EXPRESSION = 4096
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-limits.MAX_NUMBER, limits.MAX_NUMBER)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3)
    ),
    max_leaves=5,
)
TEXTS = st.text(alphabet="ab\x00\ud7ff\ue000\U0010ffff", max_size=3)


def _typed(value):
    """Equal only where the types are: True is not 1."""
    if isinstance(value, list):
        return [_typed(element) for element in value]
    if isinstance(value, dict):
        return {name: _typed(element) for name, element in value.items()}
    return type(value), value


@given(VALUES)
def test_values_come_back_as_they_were(value):
    assert _typed(to_value(from_value(value))) == _typed(value)


def test_a_number_may_come_back_with_an_exponent():
    assert to_value({"N": "1E+37"}) == 10**37


def test_what_no_item_of_ours_holds_is_refused():
    with pytest.raises(ValueError, match="SS"):
        to_value({"SS": ["a"]})


def test_the_shard_is_the_tables_alone():
    stored = from_item(KEY, {"due": "busy/1"})
    assert set(stored) == {"pk", "sk", "due", schema.DUE_PARTITION_KEY}
    assert to_item(stored) == {"due": "busy/1"}
    assert set(from_item(KEY, {"due": None})) == {"pk", "sk"}
    with pytest.raises(ValueError, match="due_shard"):
        limits.check([Write(KEY, set={schema.DUE_PARTITION_KEY: "x"})])


def test_the_shard_counts_to_the_size_of_an_item():
    item = {"due": "busy/1"}
    plain = sum(len(part) for part in ("pk", KEY.pk, "sk", KEY.sk, "due", "busy/1"))
    shard = schema.due_partition(KEY, "busy/1")
    assert limits.size_of(KEY, item) == plain + len(schema.DUE_PARTITION_KEY) + len(shard)


def test_an_item_keeps_its_shard():
    places = {schema.due_partition(Key("p", str(n)), "busy/1") for n in range(200)}
    assert places == set(schema.due_partitions("busy/"))
    assert set(schema.due_partitions("busy/2026-11")) == set(schema.due_partitions("busy"))
    shards = {schema.due_partition(KEY, due).rpartition("/")[2] for due in ("busy/1", "todo/2")}
    assert len(shards) == 1


def test_the_largest_write_has_expressions_that_the_table_takes():
    write = Write(
        KEY,
        set={f"s{n}": n for n in range(100)},
        add={f"a{n}": n for n in range(32)},
        conditions=tuple(Condition(f"c{n}", "!=", None) for n in range(32)),
    )
    limits.check([write])
    names = expressions.Placeholders()
    assert len(expressions.update(write, "kind/0", names)) <= MAX_EXPRESSION
    assert len(expressions.condition(write, names)) <= MAX_EXPRESSION
    sums = Write(KEY, add={f"a{n}": n for n in range(64)})
    assert len(expressions.condition(sums, expressions.Placeholders())) <= MAX_EXPRESSION
    limits.check([sums])


@pytest.mark.parametrize(
    "write",
    [
        Write(KEY, set={f"s{n}": n for n in range(101)}),
        Write(KEY, add={f"a{n}": n for n in range(65)}),
        Write(KEY, conditions=tuple(Condition(f"c{n}", "==", n) for n in range(65))),
        Write(KEY, add={"a": 1}, conditions=(Condition("c", "==", 1),) * 64),
    ],
)
def test_a_larger_one_is_refused_everywhere(write):
    with pytest.raises(ItemTooLarge):
        limits.check([write])


def test_names_and_values_never_stand_in_an_expression():
    hostile = "a=:0 OR attribute_exists(pk)"
    write = Write(
        KEY, set={hostile: hostile}, add={"b": 1}, conditions=(Condition(hostile, "==", hostile),)
    )
    names = expressions.Placeholders()
    text = expressions.condition(write, names) + expressions.update(write, None, names)
    assert "pk" not in text
    parameters = names.parameters()
    assert hostile in parameters["ExpressionAttributeNames"].values()
    assert {"S": hostile} in parameters["ExpressionAttributeValues"].values()


@given(after=TEXTS, before=TEXTS, prefix=TEXTS, sk=TEXTS)
def test_bounds_hold_all_that_is_wanted(after, before, prefix, sk):
    wanted = SortKeys(after, before, prefix)
    is_wanted = after < sk and (not before or sk < before) and sk.startswith(prefix)
    assert (sk in wanted) is is_wanted
    if is_wanted:
        assert wanted.low <= sk
        assert wanted.high is None or sk < wanted.high


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (SortKeys(), "#0=:0"),
        (SortKeys(after="a"), "#0=:0 AND #1>:1"),
        (SortKeys(before="b"), "#0=:0 AND #1<:1"),
        (SortKeys(prefix="a"), "#0=:0 AND begins_with(#1,:1)"),
        (SortKeys(prefix="a", after="Z"), "#0=:0 AND begins_with(#1,:1)"),
        (SortKeys(prefix="a", before="ab"), "#0=:0 AND #1 BETWEEN :1 AND :2"),
        (SortKeys(prefix="\U0010ffff"), "#0=:0 AND #1>=:1"),
    ],
)
def test_a_range_asks_for_no_more_than_it_must(wanted, text):
    """Above all not for the item that a reader has just read, which may be of 300 KB."""
    assert expressions.sort_keys("p", wanted, expressions.Placeholders()) == text


def test_the_schema_is_read_without_the_clients_library():
    """`infra` has no boto3."""
    code = (
        "import sys\n"
        "from freehold.adapters.dynamodb import schema\n"
        "assert not {'boto3', 'botocore'} & set(sys.modules), 'loaded'\n"
        "from freehold.adapters.dynamodb import DynamoRecords\n"
        "assert 'boto3' not in sys.modules, 'loaded'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
