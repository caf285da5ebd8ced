"""What a verification sees of a store: rows of all layers in order, and damage as a value."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.unit.storage.test_damage import flip
from unify_grpc.storage.errors import StorageCorruptError

if TYPE_CHECKING:
    from tests.unit.storage.store_folder import StoreFolder
    from unify_grpc.storage.audit_view import AuditView


def walk(view: AuditView, prefix: bytes, limit: int) -> dict[bytes, bytes | None]:
    """Returns all rows of a prefix, read some at a time."""
    found: dict[bytes, bytes | None] = {}
    after: bytes | None = b""
    while after is not None:
        listed = view.list_rows(prefix, after=after, limit=limit)
        assert len(listed.rows) <= limit
        assert not found.keys() & dict(listed.rows).keys(), "a row comes twice"
        assert listed.after is None or listed.after > after, "the walk stands still"
        found.update(listed.rows)
        after = listed.after
    assert list(found) == sorted(found)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_rows_of_all_layers_come_once_and_in_order(folder: StoreFolder, seed: int) -> None:
    """Whatever was written and deleted before and after a checkpoint, the newest shows."""
    chance = Random(seed)
    store = folder.open()
    expected: dict[bytes, bytes] = {}
    for round_ in range(4):
        changes: dict[bytes, bytes | None] = {}
        for _ in range(30):
            key = b"ab"[chance.randrange(2) :][:1] + bytes((chance.randrange(40),))
            changes[key] = chance.choice([None, chance.randbytes(3)])
        store.publish(changes, store.append(b"record"))
        for key, value in changes.items():
            expected.pop(key, None)
            if value is not None:
                expected[key] = value
        if round_ == 1:
            store.checkpoint()

    with store.auditing() as view:
        for limit in (1, 3, 100):
            for prefix in (b"a", b"b", b"c"):
                rows = {key: value for key, value in expected.items() if key[:1] == prefix}
                assert rows == walk(view, prefix, limit)
        for key in {b"a" + bytes((each,)) for each in range(40)}:
            assert expected.get(key) == view.get(key)


def test_it_says_which_record_its_rows_are_of(folder: StoreFolder) -> None:
    """Rows are those of the last published record, though the log may go further."""
    store = folder.open()
    store.publish({b"a": b"1"}, store.append(b"one"))
    store.append(b"two")

    with store.auditing() as view:
        assert 1 == view.number
        assert (b"one", b"two") == tuple(bytes(view.record(each) or b"") for each in (1, 2))
        assert view.record(3) is None


def test_damage_is_told_and_the_rest_still_read(folder: StoreFolder) -> None:
    """A damaged row has no value, and a damaged record is refused where it is to be checked."""
    store = folder.open()
    store.publish({b"a1": b"1", b"a2": b"2", b"a3": b"3"}, store.append(b"record"))
    store.append(b"two")
    store.checkpoint()
    folder.end(store)
    flip(folder, "state", b"a2")
    flip(folder, "log", (2).to_bytes(8, "big"))
    store = folder.open()

    with store.auditing() as view:
        assert {b"a1": b"1", b"a2": None, b"a3": b"3"} == walk(view, b"a", 2)
        with pytest.raises(StorageCorruptError):
            view.get(b"a2")
        with pytest.raises(StorageCorruptError):
            view.checked_record(2)
        checked = view.checked_record(1)
        assert checked is not None
        assert (store.machine_version, b"record") == (checked.version, bytes(checked.payload))
        assert view.checked_record(3) is None


def test_a_damaged_row_that_was_written_again_is_sound(folder: StoreFolder) -> None:
    """What lies over a damaged row counts."""
    store = folder.open()
    store.publish({b"a": b"1"}, store.append(b"record"))
    store.checkpoint()
    folder.end(store)
    flip(folder, "state", b"a")
    store = folder.open()
    store.publish({b"a": b"2"}, store.append(b"record"))

    with store.auditing() as view:
        assert {b"a": b"2"} == walk(view, b"a", 5)
