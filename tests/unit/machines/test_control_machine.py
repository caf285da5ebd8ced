"""What control decides about deployments, spaces and credentials."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.machines.one_control import NOW_US, OneControl
from unify_grpc.identity.rules import RulesInvalid
from unify_grpc.machines.control_commands import (
    ACCESS_TOKEN_NOT_FOUND,
    REQUEST_ID_REUSED,
    REQUEST_INVALID,
    RULES_CHANGED,
    SOURCE_NOT_FOUND,
    SPACE_NAME_TAKEN,
    SPACE_NOT_FOUND,
)
from unify_grpc.machines.control_records import (
    ACCESS_TOKEN,
    ADMIN_TOKEN,
    WRITE_KEY,
    hash_credential,
)

HOUR_US = 3600 * 1_000_000
TOO_MANY_TYPES = [{"type": f"type_{number}"} for number in range(200)]


@pytest.fixture
def control() -> OneControl:
    """A founded deployment without spaces."""
    made = OneControl()
    made.found()
    return made


def test_a_deployment_is_founded_once(control: OneControl) -> None:
    """A second founding keeps the signing key: page tokens stay good."""
    control.execute(control.machine.found(b"t" * 32, "", NOW_US))
    directory = control.machine.directory_since(0)

    assert directory is not None
    assert b"s" * 32 == directory.signing_key
    assert 2 == control.store.next_number


def test_it_is_known_whether_anybody_can_administer(control: OneControl) -> None:
    """A founding without a token leaves nobody who could; keys of spaces do not count."""
    control.create("one", "request-1")
    assert not control.machine.has_admin_token()
    control.found("admin-token")
    assert control.machine.has_admin_token()
    assert control.restarted().machine.has_admin_token()


def test_an_admin_token_is_added_once(control: OneControl) -> None:
    """The token given at a start may call; given again it changes nothing."""
    control.found("admin-token")
    control.found("admin-token")
    (credential,) = control.machine.credentials.values()

    assert (ADMIN_TOKEN, hash_credential("admin-token"), 0) == (
        credential.kind,
        credential.hash,
        credential.space,
    )


def test_a_space_comes_with_a_write_key_and_a_token(control: OneControl) -> None:
    """Both belong to the space; the write key names its source, the token its scopes."""
    done = control.create("one")
    assert done.space is not None
    kinds = {each.kind: each for each in control.machine.credentials.values()}

    assert list(kinds.values()) == done.credentials
    assert {WRITE_KEY, ACCESS_TOKEN} == set(kinds)
    assert {done.space.number} == {each.space for each in kinds.values()}
    assert (1, "src_one") == (kinds[WRITE_KEY].source, kinds[WRITE_KEY].credential_id)
    assert ["read", "pii"] == kinds[ACCESS_TOKEN].scopes
    assert ("one", NOW_US, 1) == (done.space.name, done.space.created_us, done.space.rules_version)


def test_numbers_are_never_used_again(control: OneControl) -> None:
    """Spaces, sources and credentials are numbered on from what was given out, over restarts."""
    control.create("one")
    after = control.restarted()
    second = after.create("two").space

    assert second is not None
    assert 2 == second.number
    assert {0, 1, 2} == {each.source for each in after.machine.credentials.values()}
    assert [1, 2, 3, 4] == sorted(each.number for each in after.machine.credentials.values())


def test_a_repeated_request_gets_the_first_space(control: OneControl) -> None:
    """The same request id makes one space, and says that its secrets cannot be shown again."""
    first = control.create("one", "request-1")
    again = control.create("one", "request-1", write_key="another", space_id="spa_another")

    assert again.is_repeat
    assert not first.is_repeat
    assert (first.space, first.credentials) == (again.space, again.credentials)
    assert 1 == len(control.machine.spaces)
    assert hash_credential("another") not in control.machine.credentials


def test_a_repeated_request_is_known_after_a_restart(control: OneControl) -> None:
    """A caller that never saw the answer may ask again whenever it likes."""
    first = control.create("one", "request-1")
    control.store.checkpoint()
    again = control.restarted().create("one", "request-1")

    assert msgspec.structs.replace(first, is_repeat=True) == again


def test_a_request_id_is_for_one_content(control: OneControl) -> None:
    """Another content under the same id is refused, and changes nothing."""
    control.create("one", "request-1", content=b"one")
    before = dict(control.store.rows)

    assert control.create("two", "request-1", content=b"two").refusal == REQUEST_ID_REUSED
    assert before == control.store.rows


def test_request_ids_of_two_spaces_do_not_meet(control: OneControl) -> None:
    """What one space's token calls its requests tells another space's nothing."""
    control.create("one")
    control.create("two")
    control.set_rules(b"{}", request_id="r", caller_space=1, content=b"one")
    other = control.set_rules(b"{}", request_id="r", caller_space=2, space=2, content=b"two")

    assert ("", False) == (other.refusal, other.is_repeat)


def test_a_request_is_known_for_a_day(control: OneControl) -> None:
    """After 24 hours the id is free, and what was kept for it is forgotten."""
    control.create("one", "request-1")
    day_later = NOW_US + 24 * HOUR_US
    just_before = control.create("one", "request-1", now_us=day_later - 1)
    after = control.create("one", "request-1", now_us=day_later)
    control.create("two", "request-2", now_us=day_later)

    assert just_before.is_repeat
    assert after.refusal == SPACE_NAME_TAKEN
    assert 1 == len(control.machine.requests) == len(control.restarted().machine.requests)


def test_a_name_is_taken_once(control: OneControl) -> None:
    """A second space of a name is refused, and nothing is written."""
    control.create("one", "request-1")
    before = dict(control.store.rows)

    assert control.create("one", "request-2").refusal == SPACE_NAME_TAKEN
    assert before == control.store.rows


def test_only_hashes_are_stored(control: OneControl) -> None:
    """No key or token is in any row or record: a copy of the store lets nobody in."""
    control.found("admin-secret")
    control.create("one", "request-1")
    control.create_source("two", request_id="request-2")
    control.create_token("three", request_id="request-3")
    stored = [*control.store.rows.values(), *control.store.log.values(), *control.store.rows]

    for secret in (b"write-one", b"token-one", b"admin-secret", b"write-two", b"token-three"):
        assert not [each for each in stored if secret in each]


def test_invalid_rules_make_no_space(control: OneControl) -> None:
    """A document that is not valid is refused before anything is decided."""
    with pytest.raises(RulesInvalid):
        control.create("one", rules=b'{"identifiers": [{"type": "BAD TYPE"}]}')
    assert {} == control.machine.spaces


def test_rules_are_kept_with_every_default(control: OneControl) -> None:
    """A version says what it meant, also once defaults are others."""
    control.create("one", rules=b'{"caps": {"merges": 7}}')
    document = msgspec.json.decode(control.machine.rules[1].document)

    assert {"identifiers": 1000, "merges": 7} == document["caps"]
    assert ["user_id", "email"] == [each["type"] for each in document["identifiers"]]


def test_every_version_of_rules_is_kept(control: OneControl) -> None:
    """The newest holds, the older ones can be read, also after a restart."""
    control.create("one")
    done = control.set_rules(b'{"caps": {"merges": 2}}', expected_version=1)
    after = control.restarted().machine

    assert done.rules == after.rules[1] == after.read_rules(1, 2)
    assert done.space is not None
    assert 2 == done.space.rules_version == after.spaces[1].rules_version
    first, third = after.read_rules(1, 1), after.read_rules(1, 3)
    assert first is not None
    assert (1, "admin") == (first.version, first.author)
    assert third is None
    assert after.read_rules(1, -1) is None


def test_rules_are_not_set_over_somebody_elses_change(control: OneControl) -> None:
    """With another version in force than the expected one nothing is changed."""
    control.create("one")
    control.set_rules(b"{}", expected_version=1)

    assert control.set_rules(b"{}", expected_version=1).refusal == RULES_CHANGED
    assert 2 == control.machine.rules[1].version


def test_a_repeated_change_of_rules_is_told_whole(control: OneControl) -> None:
    """Its answer holds the document, though a later change is in force, and makes no version."""
    control.create("one")
    first = control.set_rules(b'{"caps": {"merges": 2}}', request_id="r", expected_version=1)
    control.set_rules(b"{}")
    again = control.set_rules(b'{"caps": {"merges": 2}}', request_id="r", expected_version=1)

    assert again.is_repeat
    assert first.rules == again.rules
    assert 3 == control.machine.rules[1].version
    assert again.revision == control.machine.revision


def test_nothing_is_done_in_a_space_that_is_not_there(control: OneControl) -> None:
    """Rules, sources, tokens and revocations of an unknown space are refused."""
    refusals = {
        control.set_rules(b"{}").refusal,
        control.create_source("a").refusal,
        control.create_token("b").refusal,
        control.revoke(WRITE_KEY, "src_one").refusal,
    }

    assert {SPACE_NOT_FOUND} == refusals


def test_sources_and_tokens_are_added(control: OneControl) -> None:
    """A source has a number of its own; a token its scopes and its end."""
    control.create("one")
    (source,) = control.create_source("shop").credentials
    (token,) = control.create_token("report", scopes=["rules"], expire_us=NOW_US + 9).credentials

    assert (WRITE_KEY, 2, "src_shop", "shop") == (
        source.kind,
        source.source,
        source.credential_id,
        source.name,
    )
    assert (ACCESS_TOKEN, ["rules"], NOW_US + 9) == (token.kind, token.scopes, token.expire_us)


def test_a_token_that_has_expired_already_is_not_made(control: OneControl) -> None:
    """An end that is not in the future is refused; of a repetition, the first answer holds."""
    control.create("one")
    refused = control.create_token("late", expire_us=NOW_US)
    made = control.create_token("soon", expire_us=NOW_US + 9, request_id="r")
    again = control.create_token("soon", expire_us=NOW_US + 9, request_id="r", now_us=NOW_US + 99)

    assert (REQUEST_INVALID, "expire_time") == (refused.refusal, refused.violations[0][0])
    assert made.credentials == again.credentials


def test_what_is_revoked_stays_revoked(control: OneControl) -> None:
    """The first moment holds, also over a restart, and only of what is named."""
    control.create("one")
    (revoked,) = control.revoke(WRITE_KEY, "src_one").credentials
    (again,) = control.revoke(WRITE_KEY, "src_one", now_us=NOW_US + 99).credentials
    kept = control.restarted().machine.credentials

    assert NOW_US + 4 == revoked.revoked_us == again.revoked_us
    assert {revoked.hash} == {each.hash for each in kept.values() if each.revoked_us is not None}


def test_a_key_is_revoked_in_its_own_space_and_by_its_own_kind(control: OneControl) -> None:
    """The id of another space's source, or of a token, names no source here."""
    control.create("one")
    control.create("two")

    assert control.revoke(WRITE_KEY, "src_two").refusal == SOURCE_NOT_FOUND
    assert control.revoke(WRITE_KEY, "tok_one").refusal == SOURCE_NOT_FOUND
    assert control.revoke(ACCESS_TOKEN, "tok_two").refusal == ACCESS_TOKEN_NOT_FOUND


def test_a_space_meets_types_in_order_until_it_is_full(control: OneControl) -> None:
    """200 types, listed and met ones together; what is listed counts once.

    Types with a place of their own in events are met whatever else there is: nobody can crowd
    them out with types of his own.
    """
    rules = {"identifiers": TOO_MANY_TYPES[:198]}
    control.create("one", rules=msgspec.json.encode(rules))

    assert ["b"] == control.see("b", "type_7", "b")
    assert ["b", "c"] == control.see("c", "a")
    assert ["b", "c", "user_id"] == control.see("a", "user_id")
    assert ["b", "c", "user_id"] == control.restarted().see()


def test_a_space_that_welcomes_no_new_types_meets_built_in_ones_only(control: OneControl) -> None:
    """Switching off the unknown does not switch off anonymous ids."""
    control.create("one", rules=b'{"accept_new_types": false}')

    assert ["anonymous_id"] == control.see("phone", "anonymous_id", "BAD TYPE")


def test_rules_leave_room_for_the_types_that_were_met(control: OneControl) -> None:
    """A document is refused that lists over 200 types together with those that were met."""
    control.create("one")
    control.see("phone")
    refused = control.set_rules(msgspec.json.encode({"identifiers": TOO_MANY_TYPES}))
    fits = [{"type": "phone"}, *TOO_MANY_TYPES[1:]]
    taken = control.set_rules(msgspec.json.encode({"identifiers": fits}))

    assert REQUEST_INVALID == refused.refusal
    assert ["rules_json.identifiers"] == [field for field, _ in refused.violations]
    assert "" == taken.refusal


def test_every_change_has_a_revision(control: OneControl) -> None:
    """Gateways tell by it whether their copy is old; a repeat is no change."""
    before = control.machine.revision
    done = control.create("one", "request-1")
    again = control.create("one", "request-1")

    assert before < done.revision == again.revision == control.machine.revision


def test_a_gateway_is_told_what_changed_since(control: OneControl) -> None:
    """Each change is in the news of those who do not have it, and in nobody else's."""
    control.found("admin")
    control.create("one")
    held = control.machine.revision
    control.create("two")
    control.revoke(WRITE_KEY, "src_one")
    control.see("phone")
    news = control.machine.directory_since(held)

    assert news is not None
    assert not news.is_whole
    assert [("one", ["phone"]), ("two", [])] == [
        (each.record.name, each.met_types) for each in news.spaces
    ]
    assert ["src_one", "src_two", "tok_two"] == [each.credential_id for each in news.credentials]
    assert control.machine.directory_since(news.revision) is None


def test_a_gateway_of_another_past_is_told_everything(control: OneControl) -> None:
    """One that holds a revision that never was here, or none, gets the whole directory."""
    control.create("one")
    first = control.machine.directory_since(0)
    ahead = control.machine.directory_since(control.machine.revision + 1)

    assert first == ahead
    assert first is not None
    assert first.is_whole
    assert (1, 2) == (len(first.spaces), len(first.credentials))


def test_what_gateways_do_not_hold_has_no_revision(control: OneControl) -> None:
    """Revoking again, with a request id to remember, is no news that anybody could wait for."""
    control.create("one")
    control.revoke(WRITE_KEY, "src_one")
    again = control.revoke(WRITE_KEY, "src_one", request_id="r")

    assert again.revision == control.machine.revision


def test_a_restart_gives_the_same_state(control: OneControl) -> None:
    """Everything comes back, from a checkpoint, from the log, or from both."""
    control.found("admin")
    control.create("one", "request-1")
    control.see("phone", "anonymous_id")
    control.store.checkpoint()
    control.create_source("shop", request_id="request-2")
    control.create_token("report")
    control.set_rules(b"{}", request_id="request-3")
    control.revoke(ACCESS_TOKEN, "tok_report")
    replayed = control.restarted()
    control.store.checkpoint()

    assert control.state() == replayed.state() == control.restarted().state()
    assert control.store.rows == replayed.store.rows
