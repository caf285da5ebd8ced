"""Who changed what, and when."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.machines.one_control import NOW_US, OneControl
from unify_grpc.machines.audit_trail import AuditEntry, AuditQuery
from unify_grpc.machines.control_commands import Occurrence
from unify_grpc.machines.control_records import ACCESS_TOKEN, WRITE_KEY


@pytest.fixture
def control() -> OneControl:
    """A founded deployment without spaces."""
    made = OneControl()
    made.found()
    return made


def entries(
    control: OneControl,
    *,
    space: int = 0,
    start_us: int | None = None,
    end_us: int | None = None,
    limit: int = 50,
) -> list[AuditEntry]:
    """Reads all pages of a list."""
    query = AuditQuery(space, start_us, end_us, 0, limit)
    listed: list[AuditEntry] = []
    while True:
        page = control.machine.audit.read(query)
        assert len(page.entries) <= limit
        listed += page.entries
        if not page.last:
            return listed
        query = msgspec.structs.replace(query, before=page.last)


def test_every_change_leaves_an_entry(control: OneControl) -> None:
    """The newest is first, and each says who did what to which space."""
    control.found("admin-token")
    control.create("one", author_name="boss", call_id="call-1")
    control.set_rules(b"{}")
    control.create_source("shop")
    control.create_token("report")
    control.revoke(WRITE_KEY, "src_shop")
    control.revoke(ACCESS_TOKEN, "tok_report")
    listed = entries(control)

    assert [
        ("RevokeAccessToken", 1, "admin"),
        ("RevokeWriteKey", 1, "admin"),
        ("CreateAccessToken", 1, "admin"),
        ("CreateSource", 1, "admin"),
        ("SetRules", 1, "tok_one"),
        ("CreateSpace", 1, "admin"),
        ("Start", 0, "unify serve"),
    ] == [(each.action, each.space, each.actor) for each in listed]
    created = msgspec.json.decode(listed[-2].details)
    assert ("one", "boss", "tok_one") == (
        created["name"],
        created["actor_name"],
        created["access_token_id"],
    )
    assert "call-1" == listed[-2].call_id


def test_what_changes_nothing_leaves_no_entry(control: OneControl) -> None:
    """Neither a refused request, nor a repetition, nor revoking what is revoked."""
    control.create("one", "request-1")
    control.create("one", "request-1")
    control.create("one", "request-2")
    control.revoke(WRITE_KEY, "src_one")
    control.revoke(WRITE_KEY, "src_one")
    control.found("")

    assert ["RevokeWriteKey", "CreateSpace"] == [each.action for each in entries(control)]


def test_entries_hold_no_secrets(control: OneControl) -> None:
    """Keys and tokens are in none of them, nor are their hashes."""
    control.create("one")
    control.create_token("report")

    for each in entries(control):
        assert b"write-" not in each.details
        assert b"token-" not in each.details


def test_a_space_lists_its_own(control: OneControl) -> None:
    """However the changes of several spaces alternate, and over restarts."""
    control.create("one")
    control.create("two")
    for _ in range(3):
        control.set_rules(b"{}")
        control.set_rules(b"{}", space=2)
    control.store.checkpoint()
    after = control.restarted()
    after.set_rules(b"{}", space=2)

    assert {1} == {each.space for each in entries(after, space=1, limit=2)}
    assert [4, 5] == [len(entries(after, space=space, limit=2)) for space in (1, 2)]
    assert 9 == len(entries(after, limit=2))


def test_times_narrow_the_list(control: OneControl) -> None:
    """From the start, which counts, to the end, which does not."""
    control.create("one")
    for second in range(10):
        control.set_rules(b"{}", now_us=NOW_US + 10 + second)

    narrowed = entries(control, space=1, start_us=NOW_US + 12, end_us=NOW_US + 15, limit=2)
    assert [NOW_US + 14, NOW_US + 13, NOW_US + 12] == [each.created_us for each in narrowed]
    assert [] == entries(control, start_us=NOW_US + 20)
    assert [] == entries(control, end_us=NOW_US)
    assert [] == entries(control, start_us=NOW_US + 15, end_us=NOW_US + 12)


def test_times_never_go_back(control: OneControl) -> None:
    """A clock that was set back does not bring the trail out of order."""
    control.create("one")
    control.set_rules(b"{}", now_us=NOW_US - 1000)

    assert [NOW_US, NOW_US] == [each.created_us for each in entries(control)]


def test_others_can_leave_an_entry(control: OneControl) -> None:
    """A change made elsewhere is written down with what is said of it."""
    control.create("one")
    deletion = Occurrence(
        author="tok_one",
        now_us=NOW_US + 5,
        space=1,
        action="DeleteExternalIds",
        details=b'{"type":"email"}',
        request_id="r",
    )
    control.administer(deletion)
    control.administer(deletion)
    newest, *rest = entries(control, space=1)

    assert ("DeleteExternalIds", b'{"type":"email"}') == (newest.action, newest.details)
    assert ["CreateSpace"] == [each.action for each in rest]
