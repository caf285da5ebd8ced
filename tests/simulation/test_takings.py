from __future__ import annotations

from tests.simulation.takings import Taking

EARLIER, LATER = (0, 4 << 16), (1, 2 << 16)
"""Two links of a stream, each at a shard of its own."""


def swept(*, next_number: int = 9) -> Taking:
    """A sweep that took the later link up, and how far the earlier one's shard's log went."""
    return Taking((LATER,), [next_number, 9], is_sweep=True)


def test_a_sweep_owes_the_order_of_what_was_stored_before_it() -> None:
    """A link that its shard had when it was asked is taken up first, or was before."""
    assert swept().owes(EARLIER, LATER)


def test_nobody_owes_the_order_of_what_is_stored_afterwards() -> None:
    """A sweep takes up what it finds, whatever is on its way to another shard."""
    assert not swept(next_number=4).owes(EARLIER, LATER)
    assert swept(next_number=5).owes(EARLIER, LATER)


def test_another_stream_owes_the_order_in_which_it_hands_over() -> None:
    """A stream that sent events again owes their order, and that of no others."""
    assert Taking((EARLIER, LATER), [9, 9], is_sweep=False).owes(EARLIER, LATER)
    assert not Taking((LATER, EARLIER), [9, 9], is_sweep=False).owes(EARLIER, LATER)
    assert not Taking((LATER,), [9, 9], is_sweep=False).owes(EARLIER, LATER)
