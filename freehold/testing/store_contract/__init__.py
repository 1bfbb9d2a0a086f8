"""What every `Records` must do, as a program: run each check of `CONTRACT` on a store of yours.

    @pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
    def test_contract(check, records):
        check(records, new_partition())

A check gets a partition that nobody used before, so all may share one table. A store that several
processes can open also faces `racing_processes_lose_nothing`.

Not promised, and not asked: that the keys of one `get` are one snapshot, that `due` is up to date
at once, the order of an item's attributes, `more` being false when a page ends with the partition.
"""

from __future__ import annotations

from collections.abc import Callable

from freehold.ids import new_id
from freehold.ports import Records
from freehold.testing.store_contract import conditions, items, limits, queries, races
from freehold.testing.store_contract.races import Opener, racing_processes_lose_nothing

Check = Callable[[Records, str], None]

CONTRACT: tuple[Check, ...] = (
    items.absent_items_are_none,
    items.items_come_in_the_order_asked,
    items.values_come_back_as_they_were,
    items.an_item_is_put_whole,
    items.nothing_is_aliased,
    items.a_put_replaces_and_an_update_merges,
    items.large_amounts_are_added_and_compared_exactly,
    items.an_update_creates_what_is_missing,
    items.a_check_writes_nothing,
    items.what_was_written_is_read,
    conditions.conditions_hold_or_fail,
    conditions.a_stale_read_names_every_condition_that_failed,
    conditions.a_transaction_is_all_or_nothing,
    queries.a_query_stays_in_its_partition,
    queries.sort_keys_are_ordered_by_their_utf_8_bytes,
    queries.bounds_are_open,
    queries.a_prefix_is_taken_literally,
    queries.a_prefix_and_bounds_narrow_together,
    queries.pages_lose_and_repeat_nothing,
    queries.a_page_ends_at_4_mb,
    queries.items_are_due_in_the_order_of_due,
    queries.what_is_no_longer_due_leaves_the_index,
    limits.an_item_holds_400_kb,
    limits.texts_are_measured_in_utf_8,
    limits.lists_and_maps_cost_more_than_their_content,
    limits.a_transaction_has_100_writes,
    limits.a_transaction_has_4_mb,
    limits.two_writes_of_one_key_are_refused,
    limits.a_write_has_one_form,
    limits.keys_have_two_parts_of_limited_length,
    limits.a_get_has_100_keys,
    limits.nothing_nests_deeper_than_32,
    limits.numbers_are_integers_of_38_digits,
    limits.only_values_of_the_port_are_stored,
    limits.names_are_texts_of_their_own,
    limits.a_refused_transaction_leaves_nothing,
    races.racing_threads_lose_nothing,
)


def new_partition() -> str:
    """A partition key that was never used."""
    return new_id("contract")


__all__ = ["CONTRACT", "Check", "Opener", "new_partition", "racing_processes_lose_nothing"]
