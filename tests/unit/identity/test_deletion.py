"""Identity rules §7: which identifiers may be parted from a profile."""

from __future__ import annotations

from unify_grpc.identity.deletion import DeletionRefusal, judge_deletion
from unify_grpc.identity.identifiers import ACCOUNTS, USERS, Identifier

FIRST = Identifier(USERS, "user_id", "1")
SECOND = Identifier(USERS, "user_id", "2")
EMAIL = Identifier(USERS, "email", "a@example.com")
PHONE = Identifier(USERS, "phone", "+1")
GROUP = Identifier(ACCOUNTS, "group_id", "g")
DOMAIN = Identifier(ACCOUNTS, "domain", "example.com")


def test_an_identifier_of_a_profile_may_go() -> None:
    """Nothing speaks against an address of somebody who is named otherwise."""
    assert {} == judge_deletion([EMAIL, PHONE], [FIRST, EMAIL, PHONE], FIRST)


def test_one_that_the_profile_does_not_hold_is_refused() -> None:
    """What is not there cannot be parted from."""
    assert {PHONE: DeletionRefusal.NOT_ON_PROFILE} == judge_deletion([PHONE], [FIRST], FIRST)


def test_the_identifier_looked_up_by_is_refused() -> None:
    """A caller cannot saw off the branch that the call sits on."""
    assert {EMAIL: DeletionRefusal.LOOKED_UP_BY} == judge_deletion([EMAIL], [FIRST, EMAIL], EMAIL)
    assert {} == judge_deletion([EMAIL], [FIRST, EMAIL], None)


def test_a_group_id_is_refused() -> None:
    """An account keeps what it is known by, and may lose other identifiers."""
    held = [GROUP, DOMAIN]
    assert {GROUP: DeletionRefusal.GROUP_ID} == judge_deletion([GROUP, DOMAIN], held, None)


def test_the_last_user_id_is_refused() -> None:
    """One user_id of two may go; the last one, or both at once, may not."""
    assert {} == judge_deletion([FIRST], [FIRST, SECOND, EMAIL], EMAIL)
    assert {FIRST: DeletionRefusal.LAST_USER_ID} == judge_deletion([FIRST], [FIRST, EMAIL], EMAIL)
    assert {
        FIRST: DeletionRefusal.LAST_USER_ID,
        SECOND: DeletionRefusal.LAST_USER_ID,
    } == judge_deletion([FIRST, SECOND], [FIRST, SECOND, EMAIL], EMAIL)


def test_a_user_id_stays_if_the_other_cannot_go() -> None:
    """Where one is refused for another reason it stays, so the other is not the last."""
    assert {SECOND: DeletionRefusal.LOOKED_UP_BY} == judge_deletion(
        [FIRST, SECOND], [FIRST, SECOND], SECOND
    )
