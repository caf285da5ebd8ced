"""Deleting an identifier over gRPC, on real shards."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from unify_client import (
    Identifier,
    IdentifierNotDeletable,
    IdentifierNotFound,
    Outcome,
    ProfileNotFound,
    RequestIdReused,
    RequestInvalid,
    UnifyClient,
    identify,
    track,
)

from tests.integration.administering import Administering
from tests.integration.service import ADMIN_TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.service import Service

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

USER = Identifier("users", "user_id", "u")
MAIL = Identifier("users", "email", "e@example.com")


class Space:
    """A new space with one person in it."""

    def __init__(self, service: Service, admin: Administering) -> None:
        self.made = admin("CreateSpace", name=str(uuid.uuid4()))
        space_id = self.made.space.space_id
        self.writer = UnifyClient(service.address, key=self.made.write_key)
        self.owner = UnifyClient(service.address, key=ADMIN_TOKEN, space=space_id)
        self.writer.ingest(
            [
                identify(user_id="u", traits={"email": MAIL.value, "plan": "pro"}),
                track("Seen", context={"traits": {"email": MAIL.value}}, message_id="seen"),
            ]
        )

    def identifiers(self, name: Identifier | str) -> set[str]:
        """Returns what a profile lists, as `type:value`."""
        return {f"{each.type}:{each.id}" for each in self.owner.list_external_ids(name)}

    def close(self) -> None:
        """Closes its connections."""
        self.writer.close()
        self.owner.close()


@pytest.fixture
def admin(service: Service) -> Iterator[Administering]:
    """Calls with an admin token."""
    with Administering(service.address, ADMIN_TOKEN) as calls:
        yield calls


@pytest.fixture
def space(service: Service, admin: Administering) -> Iterator[Space]:
    """A space of its own."""
    made = Space(service, admin)
    yield made
    made.close()


def test_what_is_deleted_is_found_no_more_and_its_history_stays(space: Space) -> None:
    """The profile keeps the identifier's events and traits; a look-up by it finds nothing."""
    before = space.owner.get_profile(USER)
    deleted = space.owner.delete_external_ids(USER, [MAIL])
    after = space.owner.get_profile(USER)

    assert before.segment_id == deleted.segment_id
    assert {"user_id:u"} == space.identifiers(USER)
    with pytest.raises(ProfileNotFound):
        space.owner.get_profile(MAIL)
    assert before.traits == after.traits
    assert before.metadata is not None
    assert after.metadata is not None
    assert before.metadata.events_count == after.metadata.events_count
    assert "seen" in {each.message_id for each in space.owner.list_events(USER)}


def test_the_next_sighting_joins_somebody_else(space: Space) -> None:
    """It is free; and the event that was known traffic before no longer counts as known."""
    space.owner.delete_external_ids(USER, [MAIL])
    space.writer.ingest([identify(user_id="v", traits={"email": MAIL.value})])
    (again,) = space.writer.ingest([identify(user_id="u", traits={"email": MAIL.value})])

    assert {"user_id:v", "email:e@example.com"} == space.identifiers(MAIL)
    assert {"user_id:u"} == space.identifiers(USER)
    assert [MAIL] == [drop.identifier for drop in again.drops]


def test_a_message_of_before_is_still_known(space: Space) -> None:
    """Sent again it is a duplicate, and brings nothing back."""
    space.owner.delete_external_ids(USER, [MAIL])
    (again,) = space.writer.ingest(
        [track("Seen", context={"traits": {"email": MAIL.value}}, message_id="seen")]
    )

    assert "DUPLICATE" == again.status.name
    with pytest.raises(ProfileNotFound):
        space.owner.get_profile(MAIL)


def test_what_has_to_stay_is_refused(space: Space) -> None:
    """The last user id, what the profile is named by, and what is not there."""
    with pytest.raises(IdentifierNotDeletable):
        space.owner.delete_external_ids(MAIL, [USER])
    with pytest.raises(IdentifierNotDeletable):
        space.owner.delete_external_ids(USER, [USER])
    with pytest.raises(IdentifierNotFound):
        space.owner.delete_external_ids(USER, [Identifier("users", "email", "no@example.com")])
    with pytest.raises(ProfileNotFound):
        space.owner.delete_external_ids(Identifier("users", "user_id", "nobody"), [MAIL])


def test_a_repetition_is_harmless_and_audited_once(space: Space, admin: Administering) -> None:
    """The same request id gets the first reply; with another content it is refused."""
    request_id = str(uuid.uuid4())
    first: Any = space.owner.delete_external_ids(USER, [MAIL], request_id=request_id)
    again: Any = space.owner.delete_external_ids(USER, [MAIL], request_id=request_id)
    phone = Identifier("users", "phone", "1")
    with pytest.raises(RequestIdReused):
        space.owner.delete_external_ids(USER, [phone], request_id=request_id)
    entries = admin("ListAuditEntries", space=space.made.space.space_id).audit_entries

    assert first.segment_id == again.segment_id
    assert 1 == sum(entry.action == "DeleteExternalIds" for entry in entries)
    assert MAIL.value not in str(entries)


def test_a_profile_without_identifiers_lives_on(space: Space) -> None:
    """By its segment_id the only identifier of a profile can be deleted, but not by itself."""
    (stored,) = space.writer.ingest([track("Seen", anonymous_id="alone")])
    alone = Identifier("users", "anonymous_id", "alone")
    assert stored.segment_id is not None
    space.owner.delete_external_ids(stored.segment_id, [alone])
    profile = space.owner.get_profile(stored.segment_id)

    assert set() == space.identifiers(stored.segment_id)
    assert profile.metadata is not None
    assert 1 == profile.metadata.events_count


def test_a_segment_id_under_the_other_collection_names_nobody(space: Space) -> None:
    """The same member behind `acc_` is no account: not read, not deleted from, and no harm done."""
    segment_id = space.owner.get_profile(USER).segment_id
    account_id = segment_id.replace("use_", "acc_")
    with pytest.raises(ProfileNotFound):
        space.owner.get_profile(account_id)
    with pytest.raises(ProfileNotFound):
        list(space.owner.list_events(account_id))
    with pytest.raises(ProfileNotFound):
        list(space.owner.list_links(account_id))
    with pytest.raises(ProfileNotFound):
        space.owner.explain_identity(account_id, account_id)
    with pytest.raises(ProfileNotFound):
        space.owner.delete_external_ids(account_id, [Identifier("accounts", "email", MAIL.value)])

    assert {"user_id:u", "email:e@example.com"} == space.identifiers(USER)


def test_a_segment_id_of_another_space_names_nobody(service: Service, space: Space) -> None:
    """However equal the identifiers in both: nothing is deleted, and links go on being decided."""
    with Administering(service.address, ADMIN_TOKEN) as calls:
        other = Space(service, calls)
    theirs = other.owner.get_profile(USER).segment_id
    for wanted in (MAIL, USER, Identifier("users", "group_id", "g")):
        with pytest.raises(ProfileNotFound):
            space.owner.delete_external_ids(theirs, [wanted])
    (joined,) = space.writer.ingest([identify(user_id="u", anonymous_id="later")])

    assert {"user_id:u", "email:e@example.com"} == other.identifiers(USER)
    assert Outcome.ATTACHED is joined.outcome
    other.close()


def test_what_contradicts_itself_is_refused(space: Space) -> None:
    """A collection that is not the profile's, and a request id that is no UUID; nothing is lost."""
    with pytest.raises(RequestInvalid):
        space.owner.delete_external_ids(USER, [Identifier("accounts", "email", MAIL.value)])
    with pytest.raises(RequestInvalid):
        space.owner.delete_external_ids(USER, [MAIL], request_id="once")

    assert {"user_id:u", "email:e@example.com"} == space.identifiers(USER)


def test_the_answer_is_masked_without_pii(
    service: Service, space: Space, admin: Administering
) -> None:
    """Whoever may delete and not see gets no value back, and no event's value either."""
    made = admin(
        "CreateAccessToken",
        space=space.made.space.space_id,
        name="cleaner",
        scopes=["SCOPE_READ", "SCOPE_DELETE"],
    )
    with UnifyClient(service.address, key=made.secret) as cleaner:
        (event,) = cleaner.list_events(USER)
        deleted = cleaner.delete_external_ids(USER, [MAIL])

    assert {"traits": "***"} == event.context
    assert [Identifier("users", "email", "***")] == list(deleted.external_ids)
