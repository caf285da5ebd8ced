"""Damage of control's records is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.verification.stored import CONTROL
from unify_grpc.machines import control_records, rows
from unify_grpc.machines.audit_trail import ENTRY, OF_SPACE, decode_entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.verification.stored import Stores


def test_a_missing_log_record_is_found(stores: Stores) -> None:
    """Control's log is whole."""
    del stores.control.log[2]

    assert (CONTROL, "whole_log") in stores.found()


@pytest.mark.parametrize("table", [b"s", b"r"])
def test_a_missing_space_or_its_rules_are_found(stores: Stores, table: bytes) -> None:
    """A space that is used is there, with every version of its rules."""
    del stores.control.rows[stores.first(stores.control, table)]

    assert any(invariant == "spaces" for _, invariant in stores.found())


@pytest.mark.parametrize(
    ("table", "decode", "fields"),
    [
        (b"s", control_records.decode_space, {"number": 9}),
        (b"s", control_records.decode_space, {"rules_version": 2}),
        (b"r", control_records.decode_rules, {"version": 2}),
        (b"r", control_records.decode_rules, {"document": b'{"nonsense": 1}'}),
        (b"t", control_records.decode_met_types, {"types": ["x", "x"]}),
        (b"c", control_records.decode_credential, {"number": 99}),
        (b"c", control_records.decode_credential, {"number": 2}),
        (b"c", control_records.decode_credential, {"space": 9}),
        (b"c", control_records.decode_credential, {"kind": "key"}),
        (b"g", control_records.decode_deployment, {"next_space": 1}),
        (b"g", control_records.decode_deployment, {"next_credential": 1}),
        (b"g", control_records.decode_deployment, {"signing_key": b""}),
        (b"q", control_records.decode_request, {"answer": b"?"}),
        (b"a", decode_entry, {"number": 9}),
        (b"a", decode_entry, {"created_us": 1 << 60}),
    ],
)
def test_a_changed_row_is_found(
    stores: Stores, table: bytes, decode: Callable[[bytes], Any], fields: dict[str, Any]
) -> None:
    """No fact of control's can be another and still fit the others."""
    key = stores.first(stores.control, table)
    if fields == {"number": 2}:
        found = decode(stores.control.rows[key])
        fields = {"number": 3 - found.number if found.number < 3 else 1}
    stores.replace(stores.control, key, decode, **fields)

    assert any(part == CONTROL for part, _ in stores.found())


def test_a_gap_in_the_audit_trail_is_found(stores: Stores) -> None:
    """Entries are numbered without a gap, through the deployment and through each space."""
    numbers = [(2).to_bytes(8, "big"), (1).to_bytes(8, "big")]
    for key in (ENTRY + numbers[0], OF_SPACE + (1).to_bytes(4, "big") + numbers[1]):
        planted = stores.copied()
        del planted.control.rows[key]

        assert (CONTROL, "audit_trail") in planted.found()


def test_a_shard_ahead_of_the_rules_is_found(stores: Stores) -> None:
    """No shard was shown rules that control has not committed."""
    key = stores.first(stores.shards[0], rows.SPACE)
    stores.replace(stores.shards[0], key, rows.decode_space, rules_version=5)

    assert (0, "spaces") in stores.found()
