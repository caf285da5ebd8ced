"""A forked child cannot use the stores of its parent, and does them no harm."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from unify_grpc.storage.forks import ForkedStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.storage.store_folder import StoreFolder

HELD_OUT = 7


def code_of_child(work: Callable[[], object]) -> int:
    """Forks a child that does something; returns its code, `HELD_OUT` if it was kept from it."""
    child = os.fork()
    if not child:
        try:
            work()
        except ForkedStoreError:
            os._exit(HELD_OUT)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_can_neither_read_nor_write(folder: StoreFolder) -> None:
    """Each use in the child is refused; the parent goes on as if there were none."""
    store = folder.open()
    store.publish({b"a": b"1"}, store.append(b"first"))
    store.checkpoint()

    assert HELD_OUT == code_of_child(lambda: store.append(b"child's"))
    assert HELD_OUT == code_of_child(lambda: store.get(b"b"))
    assert HELD_OUT == code_of_child(lambda: store.reading().__enter__())
    assert 2 == store.append(b"second")
    assert b"1" == store.get(b"a")
    folder.end(store)
    assert [(2, b"second")] == list(folder.open().tail())
