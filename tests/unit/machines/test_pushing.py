"""What a shard does with the rows that the merge actor decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tests.unit.machines.frames import SOURCE, T0, frame, key, member
from tests.unit.machines.one_shard import outcomes
from unify_grpc.identity.outcomes import Outcome
from unify_grpc.machines import rows
from unify_grpc.machines.links import (
    AgePush,
    BindingPush,
    ClearPush,
    MemoryPush,
    ProfilePush,
    Push,
    partner_of,
)
from unify_grpc.machines.reads import Gather, Gathered, Locate, Located

if TYPE_CHECKING:
    from tests.unit.machines.one_shard import OneShard

LINK_POSITION = 1 << 16


def profile(root: str, *names: str, seq: int = 1, merges: int = 0) -> ProfilePush:
    """Returns a profile's row with these members."""
    return ProfilePush(member(root), seq, 1, 0, T0, merges, [member(each) for each in names])


def binding(name: str, root: str, seq: int = 1, *, founding_known: bool = True) -> BindingPush:
    """Returns a member's binding."""
    type_, _, value = name.partition(":")
    return BindingPush(
        member(name), member(root), seq, 1, 0, type_, value, T0 + seq, SOURCE, "m0", founding_known
    )


def located(shard: OneShard, name: str) -> Located:
    """Returns where the shard says an identifier's profile is."""
    (found,) = shard.ask(Locate(1, key(name)))
    assert isinstance(found, Located)
    return found


def test_a_profile_is_found_through_its_members(shard: OneShard) -> None:
    """A bound member leads to the profile, whose home knows all members."""
    shard.push(Push(profiles=[profile("user_id:a", "user_id:a", "email:b")]))
    shard.push(Push(bindings=[binding("email:b", "user_id:a"), binding("user_id:a", "user_id:a")]))

    assert [member("user_id:a"), member("email:b")] == located(shard, "email:b").members
    assert member("user_id:a") == located(shard, "email:b").root


def test_a_pointer_leads_to_another_shard(shard: OneShard) -> None:
    """A member bound to a profile at home elsewhere says where to ask on."""
    shard.push(Push(bindings=[binding("user_id:a", "email:b@2")]))

    assert Located(member("email:b@2"), None) == located(shard, "user_id:a")


def test_a_profile_binds_its_founder_in_the_same_commit(shard: OneShard) -> None:
    """No reader finds a profile's row whose founding member does not lead to it."""
    shard.append(frame("user_id:a"))
    shard.push(Push(profiles=[profile("user_id:a", "user_id:a", "email:b@1", seq=3)]))

    assert member("user_id:a") == shard.row("user_id:a").root
    assert 2 == len(located(shard, "user_id:a").members or [])


def test_a_founders_own_binding_outranks_its_profile_row(shard: OneShard) -> None:
    """How the founder joined is told by its binding, though that be older than the profile row."""
    shard.push(
        Push(
            profiles=[profile("user_id:a", "user_id:a", "email:b@1", seq=8)],
            bindings=[binding("user_id:a", "user_id:a", seq=7)],
        )
    )
    row = shard.row("user_id:a")

    assert (7, "user_id", "a", T0 + 7) == (row.seq, row.type, row.value, row.joined_us)


def test_an_older_profile_row_does_not_bind_its_founder_back(shard: OneShard) -> None:
    """Once the founder is bound to a newer profile, a late row of its own leaves it there."""
    shard.push(Push(bindings=[binding("user_id:a", "email:b@1", seq=5)]))
    shard.push(Push(profiles=[profile("user_id:a", "user_id:a", seq=4)]))

    assert member("email:b@1") == shard.row("user_id:a").root


def test_older_rows_are_ignored(shard: OneShard) -> None:
    """Whatever order pushes arrive in, the highest seq stands, of profiles and of bindings."""
    newer = Push(
        profiles=[profile("user_id:a", "user_id:a", "email:b", seq=9, merges=2)],
        bindings=[binding("email:b", "user_id:a", seq=9)],
    )
    older = Push(
        profiles=[profile("user_id:a", "user_id:a", seq=4)],
        bindings=[binding("email:b", "phone:x@1", seq=4)],
    )
    shard.push(newer)
    before = dict(shard.store.rows)
    shard.push(older)

    assert before == shard.store.rows


def test_the_same_push_twice_changes_nothing(shard: OneShard) -> None:
    """Rows are absolute: a repeated push leaves them as they are."""
    shard.append(frame("user_id:a", "email:b"))
    push = Push(
        profiles=[profile("user_id:a", "user_id:a", "email:b")],
        bindings=[binding("user_id:a", "user_id:a"), binding("email:b", "user_id:a")],
        memories=[MemoryPush(member("user_id:a"), 0, [partner_of(key("email:b"))])],
        clears=[ClearPush(LINK_POSITION, int(Outcome.CREATED), member("user_id:a"), 1, [])],
    )
    shard.push(push)
    before = dict(shard.store.rows)
    shard.push(push)

    assert before == shard.store.rows


def test_a_binding_says_how_the_identifier_joined(shard: OneShard) -> None:
    """Type, value, link time, source and first message id are those of the binding."""
    shard.push(Push(bindings=[binding("email:b", "user_id:a@1", seq=2)]))
    (found,) = shard.ask(Gather(member("email:b"), with_traits=False))

    assert isinstance(found, Gathered)
    assert ("email", "b", T0 + 2, SOURCE, "m0") == (
        found.type,
        found.value,
        found.joined_us,
        found.source,
        found.message_id,
    )


def test_a_founding_nobody_knew_of_is_reported(shard: OneShard) -> None:
    """A profile founded since the decision's look-up is void: it is told, and leads elsewhere."""
    shard.append(frame("email:b", message_id="founds"))
    (void,) = shard.push(
        Push(bindings=[binding("email:b", "user_id:a@1", seq=6, founding_known=False)])
    )

    assert (member("email:b"), member("user_id:a@1"), 6) == (void.member, void.root, void.seq)
    assert "founds" == void.founding.message_id
    assert member("user_id:a@1") == located(shard, "email:b").root
    assert [] == shard.push(
        Push(bindings=[binding("email:b", "user_id:a@1", seq=7, founding_known=False)])
    )


def test_a_founding_that_was_known_is_not_void(shard: OneShard) -> None:
    """What the decision counted as a profile is no surprise."""
    shard.append(frame("email:b"))

    assert [] == shard.push(Push(bindings=[binding("email:b", "user_id:a@1")]))


def test_memory_of_an_older_epoch_is_ignored(shard: OneShard) -> None:
    """Once a member was aged, what was decided before it may not come back."""
    shard.append(frame("user_id:a", "email:b"))
    old = MemoryPush(member("user_id:a"), 0, [partner_of(key("email:old"))])
    new = MemoryPush(member("user_id:a"), 2, [partner_of(key("email:new"))])
    shard.push(Push(memories=[old]))
    shard.push(Push(ages=[AgePush(member("user_id:a"), 1, 0, 2)]))
    for push in (old, new, old):
        shard.push(Push(memories=[push]))

    assert 2 == shard.row("user_id:a").memory_epoch
    assert partner_of(key("email:new")) == shard.row("user_id:a").partners


def test_memory_grows_by_what_is_new(shard: OneShard) -> None:
    """A partner is remembered once, however often it is told."""
    shard.append(frame("user_id:a", "email:b"))
    for names in (["email:b"], ["email:b", "phone:c"], ["phone:c"]):
        partners = [partner_of(key(each)) for each in names]
        shard.push(Push(memories=[MemoryPush(member("user_id:a"), 0, partners)]))

    expected = partner_of(key("email:b")) + partner_of(key("phone:c"))
    assert expected == shard.row("user_id:a").partners


def test_a_clear_is_unconditional(shard: OneShard) -> None:
    """However new the rows of its profile are, a decided link stops being pending."""
    shard.append(frame("user_id:a", "email:b"))
    shard.push(Push(bindings=[binding("user_id:a", "phone:z@1", seq=99)]))
    outcome = ClearPush(LINK_POSITION, int(Outcome.MERGED), member("email:b"), 1, [(1, 3)])
    shard.push(Push(clears=[outcome]))

    assert {} == shard.machine.pending
    assert [] == shard.pending()
    stored = shard.store.get(rows.outcome_key(LINK_POSITION))
    assert stored is not None
    kept = rows.decode_outcome(stored)
    assert (int(Outcome.MERGED), member("email:b"), 1, [(1, 3)]) == (
        kept.outcome,
        kept.root,
        kept.seq,
        kept.drops,
    )


def test_a_push_survives_a_restart(shard: OneShard) -> None:
    """A push is logged like a batch: rows and marks are the same after a replay."""
    shard.append(frame("user_id:a", "email:b"))
    shard.push(
        Push(
            profiles=[profile("user_id:a", "user_id:a", "email:b")],
            bindings=[binding("user_id:a", "user_id:a"), binding("email:b", "user_id:a")],
            clears=[ClearPush(LINK_POSITION, int(Outcome.CREATED), member("user_id:a"), 1, [])],
        )
    )
    after = shard.restarted()

    assert shard.store.rows == after.store.rows
    assert {} == after.machine.pending
    assert ["2 CREATED"] == outcomes(after.append(frame("user_id:a", "email:b"), call=2))


def test_a_push_makes_pending_links_known_traffic_only_by_memory(shard: OneShard) -> None:
    """A binding alone does not make a combination known: memory says it is visible everywhere."""
    shard.append(frame("user_id:a", "email:b"))
    shard.push(
        Push(
            profiles=[profile("user_id:a", "user_id:a", "email:b")],
            bindings=[binding("user_id:a", "user_id:a"), binding("email:b", "user_id:a")],
        )
    )

    assert ["PENDING"] == outcomes(shard.append(frame("user_id:a", "email:b", message_id="m2")))


def test_a_look_up_of_another_space_finds_nothing(shard: OneShard) -> None:
    """A key is asked for in its space; in another it is nobody's."""
    shard.append(frame("user_id:a"))

    assert [Located(None, None)] == shard.ask(Locate(2, key("user_id:a")))


def test_an_unknown_push_is_no_push(shard: OneShard) -> None:
    """An empty push is acked with no voids and changes no row."""
    before = dict(shard.store.rows)

    assert [] == shard.push(msgspec.structs.replace(Push()))
    assert before == shard.store.rows
