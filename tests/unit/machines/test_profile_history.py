"""The rows that tell when profiles were created and absorbed."""

from __future__ import annotations

from tests.unit.machines.frames import T0, founding, member
from unify_grpc.machines.links import Founding
from unify_grpc.machines.merge_reads import DecidedLink, ProfileChange
from unify_grpc.machines.profile_history import tell_history

A, B, C = "user_id:a", "user_id:b", "user_id:c"


def change(
    seq: int,
    root: str,
    *,
    stamp_us: int,
    is_founding: bool = False,
    absorbed: tuple[str, ...] = (),
    adopted: dict[str, Founding] | None = None,
    joined: tuple[str, ...] = (),
) -> ProfileChange:
    """A change by the event `mSEQ`."""
    return ProfileChange(
        member(root),
        DecidedLink(0, seq, seq, T0 + seq, stamp_us, 1, f"m{seq}", 1, 1),
        is_founding,
        [member(each) for each in absorbed],
        [(member(name), each) for name, each in (adopted or {}).items()],
        [member(each) for each in joined],
    )


def told(
    *changes: ProfileChange, roots: tuple[str, ...], foundings: dict[str, Founding] | None = None
) -> list[tuple[str, str, str]]:
    """Returns rows as (id, canonical id, message id)."""
    names = {member(each): each for each in (A, B, C)}
    known = {member(name): each for name, each in (foundings or {}).items()}
    rows = tell_history(changes, known, [member(each) for each in roots])
    return [(names[row.founder], names[row.canonical], row.message_id) for row in rows]


def test_an_absorbed_id_has_a_new_row_when_its_survivor_is_absorbed() -> None:
    """Every id that stood for the absorbed profile gets one, that profile's own first."""
    assert [
        (A, A, "m1"),
        (B, B, "m2"),
        (C, C, "m3"),
        (C, B, "m4"),
        (B, A, "m5"),
        (C, A, "m5"),
    ] == told(
        change(1, A, stamp_us=1, is_founding=True),
        change(2, B, stamp_us=2, is_founding=True),
        change(3, C, stamp_us=3, is_founding=True),
        change(4, B, stamp_us=4, absorbed=(C,)),
        change(5, A, stamp_us=5, absorbed=(B,)),
        roots=(A,),
    )


def test_a_founding_by_a_single_event_is_a_creation() -> None:
    """As the decision that adopted it knew, or as its shard says of a profile without links."""
    assert [(B, B, "alone"), (A, A, "m1"), (B, A, "m2"), (C, C, "other")] == told(
        change(1, A, stamp_us=5, is_founding=True),
        change(2, A, stamp_us=6, adopted={B: founding(2, message_id="alone")}),
        roots=(A, C),
        foundings={C: founding(9, message_id="other")},
    )


def test_the_survivor_may_be_the_one_that_was_adopted() -> None:
    """Then it has a creation and no merge."""
    assert [(A, A, "alone")] == told(
        change(1, A, stamp_us=5, adopted={A: founding(2, message_id="alone")}, joined=(B,)),
        roots=(A,),
    )


def test_a_profile_that_no_decision_knew_of_has_its_rows() -> None:
    """Its id was given out, so it is told when that began and what it stands for since."""
    assert [(A, A, "m1"), (B, B, "void"), (B, A, "m1")] == told(
        change(1, A, stamp_us=5, is_founding=True, joined=(A, B)),
        roots=(A,),
        foundings={B: founding(7, message_id="void")},
    )


def test_an_id_is_created_by_whichever_event_came_first() -> None:
    """A link may found the profile that a single event had founded, unknown to it."""
    link = change(1, A, stamp_us=5, is_founding=True, joined=(A,))

    assert [(A, A, "void")] == told(link, roots=(A,), foundings={A: founding(4, message_id="void")})
    assert [(A, A, "m1")] == told(link, roots=(A,), foundings={A: founding(6)})


def test_a_profile_that_a_deletion_took_over_is_absorbed_only_once() -> None:
    """No decision adopted it; that a later event still carries its founder changes nothing."""
    assert [(A, A, "m1"), (B, B, "alone"), (B, A, "m2")] == told(
        change(1, A, stamp_us=1, is_founding=True),
        change(2, A, stamp_us=5, absorbed=(B,)),
        change(3, A, stamp_us=6, joined=(B,)),
        roots=(A,),
        foundings={B: founding(3, message_id="alone")},
    )


def test_no_merge_comes_before_what_it_joined() -> None:
    """A link that was received first and decided last is told last."""
    assert [(A, A, "m1"), (B, B, "m2"), (B, A, "m3")] == told(
        change(1, A, stamp_us=5, is_founding=True),
        change(2, B, stamp_us=7, is_founding=True),
        change(3, A, stamp_us=2, absorbed=(B,)),
        roots=(A,),
    )
