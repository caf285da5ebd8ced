"""What control decides about deployments, spaces and credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from unify_grpc.identity.rules import RulesInvalid
from unify_grpc.machines.control_machine import (
    ACCESS_TOKEN,
    ADMIN_TOKEN,
    WRITE_KEY,
    ControlMachine,
    NewSpace,
    SpaceCreated,
    hash_credential,
)
from unify_grpc.storage.memory import MemoryStore

if TYPE_CHECKING:
    from unify_grpc.machines.tables import Decision

NOW_US = 1_800_000_000_000_000


class OneControl:
    """A control machine whose decisions take effect at once."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.machine = ControlMachine(self.store)
        self.machine.load()
        for number, record in self.store.tail():
            changes = self.machine.replay(number, record)
            self.store.publish(changes, number)
            self.machine.committed(changes)

    def execute(self, decision: Decision[None, Any]) -> Any:
        """Makes a decision durable and returns its reply."""
        if decision.record is not None:
            number = self.store.append(decision.record)
            self.store.publish(decision.changes, number)
            self.machine.committed(decision.changes)
        return decision.reply

    def found(self, admin_token: str = "") -> None:
        """Founds the deployment."""
        self.execute(self.machine.found(b"s" * 32, admin_token, NOW_US))

    def create(self, name: str, request_id: str = "", **changes: Any) -> SpaceCreated:
        """Makes a space."""
        command = NewSpace(
            name=name,
            rules=b"{}",
            request_id=request_id,
            author="admin",
            now_us=NOW_US,
            space_id=f"spa_{name}",
            secret=b"k" * 32,
            write_key=f"write-{name}",
            source_id=f"src_{name}",
            access_token=f"token-{name}",
            access_token_id=f"tok_{name}",
            scopes=["read", "pii"],
        )
        command = msgspec.structs.replace(command, **changes)
        created: SpaceCreated = self.execute(self.machine.create_space(command))
        return created


@pytest.fixture
def control() -> OneControl:
    """A founded deployment without spaces."""
    made = OneControl()
    made.found()
    return made


def test_a_deployment_is_founded_once(control: OneControl) -> None:
    """A second founding keeps the signing key: page tokens stay good."""
    control.execute(control.machine.found(b"t" * 32, "", NOW_US))

    assert b"s" * 32 == control.machine.directory().signing_key
    assert 2 == control.store.next_number


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
    space = control.create("one").space
    assert space is not None
    kinds = {each.kind: each for each in control.machine.credentials.values()}

    assert {WRITE_KEY, ACCESS_TOKEN} == set(kinds)
    assert {space.number} == {each.space for each in kinds.values()}
    assert (1, "src_one") == (kinds[WRITE_KEY].source, kinds[WRITE_KEY].credential_id)
    assert ["read", "pii"] == kinds[ACCESS_TOKEN].scopes
    assert ("one", NOW_US, b"{}") == (space.name, space.created_us, space.rules[0].document)


def test_numbers_are_never_used_again(control: OneControl) -> None:
    """Spaces and sources are numbered on from what was given out, over restarts."""
    control.create("one")
    after = OneControl(control.store.crashed())
    second = after.create("two").space

    assert second is not None
    assert 2 == second.number
    assert {0, 1, 2} == {each.source for each in after.machine.credentials.values()}


def test_a_repeated_request_gets_the_first_space(control: OneControl) -> None:
    """The same request id makes one space, and says that its secrets cannot be shown again."""
    first = control.create("one", "request-1")
    again = control.create("one", "request-1", write_key="another", space_id="spa_another")

    assert again.is_repeat
    assert not first.is_repeat
    assert first.space == again.space
    assert 1 == len(control.machine.spaces)
    assert hash_credential("another") not in control.machine.credentials


def test_a_repeated_request_is_known_after_a_restart(control: OneControl) -> None:
    """A caller that never saw the answer may ask again whenever it likes."""
    first = control.create("one", "request-1")
    control.store.checkpoint()
    after = OneControl(control.store.crashed())

    assert SpaceCreated(first.space, is_repeat=True) == after.create("one", "request-1")


def test_a_name_is_taken_once(control: OneControl) -> None:
    """A second space of a name is refused, and nothing is written."""
    control.create("one", "request-1")
    before = dict(control.store.rows)

    assert SpaceCreated(None, is_repeat=False) == control.create("one", "request-2")
    assert before == control.store.rows


def test_only_hashes_are_stored(control: OneControl) -> None:
    """No key or token is in any row or record: a copy of the store lets nobody in."""
    control.found("admin-secret")
    control.create("one", "request-1")
    stored = [*control.store.rows.values(), *control.store.log.values(), *control.store.rows]

    for secret in (b"write-one", b"token-one", b"admin-secret"):
        assert not [each for each in stored if secret in each]


def test_invalid_rules_make_no_space(control: OneControl) -> None:
    """A document that is not valid is refused before anything is decided."""
    with pytest.raises(RulesInvalid):
        control.create("one", rules=b'{"identifiers": [{"type": "BAD TYPE"}]}')
    assert {} == control.machine.spaces


def test_every_change_has_a_revision(control: OneControl) -> None:
    """Gateways tell by it whether their copy is old; a repeat is no change."""
    before = control.machine.directory().revision
    control.create("one", "request-1")
    changed = control.machine.directory().revision
    control.create("one", "request-1")

    assert before < changed == control.machine.directory().revision


def test_a_restart_gives_the_same_directory(control: OneControl) -> None:
    """Spaces and credentials come back from any checkpoint."""
    control.create("one")
    control.store.checkpoint()
    control.create("two")
    directory = OneControl(control.store.crashed()).machine.directory()

    assert control.machine.directory().spaces == directory.spaces
    assert sorted(each.hash for each in control.machine.directory().credentials) == sorted(
        each.hash for each in directory.credentials
    )
