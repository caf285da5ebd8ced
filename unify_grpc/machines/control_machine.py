"""The decisions of control: spaces, their rules, and who may call.

Small enough to be held in memory, but for older rules and the audit trail. Every change has a
revision, so that a gateway is told only what changed since the one it holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

import msgspec

from unify_grpc.identity.identifiers import BUILT_IN_TYPES, is_type_name
from unify_grpc.identity.rules import Rules
from unify_grpc.identity.rules_document import TYPES_MAX
from unify_grpc.machines import control_records as records
from unify_grpc.machines.audit_trail import AuditTrail
from unify_grpc.machines.control_commands import (
    ACCESS_TOKEN_NOT_FOUND,
    REQUEST_ID_REUSED,
    RULES_CHANGED,
    SOURCE_NOT_FOUND,
    SPACE_NAME_TAKEN,
    SPACE_NOT_FOUND,
    Administered,
    AnyCommand,
    NewAccessToken,
    NewRules,
    NewSource,
    NewSpace,
    Occurrence,
    Revocation,
    decode_administered,
    invalid,
    refused,
)
from unify_grpc.machines.control_draft import REQUESTS_KEPT_US, Draft
from unify_grpc.machines.control_records import (
    ACCESS_TOKEN,
    ADMIN_TOKEN,
    WRITE_KEY,
    Credential,
    Deployment,
    DirectoryChanges,
    MetTypes,
    RequestRow,
    RulesVersion,
    SpaceEntry,
    SpaceRecord,
    hash_credential,
)
from unify_grpc.machines.tables import Decision

if TYPE_CHECKING:
    from unify_grpc.machines.tables import Changes, View

MACHINE_VERSION: Final = 2
EARLIER_MAX: Final = 20
"""Versions of a space's rules, before the newest, that gateways are told."""
AT_START: Final = "unify serve"
"""Stands in the audit trail for what a start of the service changes by itself."""

_decode_changes = msgspec.msgpack.Decoder(list[tuple[bytes, bytes | None]]).decode


class ControlMachine:
    """Decides about spaces and credentials. Only `load`, `committed` and `replay` change it."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.audit = AuditTrail(view)
        self.revision = 1
        """Of the directory; every row that gateways hold names the one it changed in."""
        self.deployment: Deployment | None = None
        self.spaces: dict[int, SpaceRecord] = {}
        self.rules: dict[int, RulesVersion] = {}
        """The version that holds, by space."""
        self.met_types: dict[int, MetTypes] = {}
        self.credentials: dict[bytes, Credential] = {}
        self.requests: dict[bytes, RequestRow] = {}
        """By row key, the oldest first."""
        self._space_names: dict[str, int] = {}
        self._credential_ids: dict[tuple[int, str, str], bytes] = {}
        """(space, kind, id) to hash."""
        self._changed: dict[int | bytes, int] = {}
        """Space, or hash of a credential, to the revision it changed in; the newest last."""

    # -- state ------------------------------------------------------------------------------

    def load(self) -> None:
        """Reads what is kept in memory from a checkpointed view."""
        self.audit.load()
        tables = (records.SPACE, records.MET_TYPES, records.CREDENTIAL, records.DEPLOYMENT)
        for table in tables:
            self.committed(dict(self.view.scan(table)))
        for space in self.spaces.values():
            key = records.rules_key(space.number, space.rules_version)
            self.committed({key: self.view.get(key)})
        self.committed(dict(self.view.scan(records.REQUEST)))
        self.requests = dict(sorted(self.requests.items(), key=lambda each: each[1].made_us))
        self._changed = dict(sorted(self._changed.items(), key=lambda each: each[1]))

    def replay(self, number: int, record: bytes) -> Changes:
        """Returns the changes that a record stands for: it holds them."""
        del number
        return dict(_decode_changes(record))

    def committed(self, changes: Changes) -> None:
        """Takes over published changes."""
        self.audit.committed(changes)
        for key, value in changes.items():
            table = key[:1]
            if table == records.REQUEST:
                self.requests.pop(key, None)
                if value is not None:
                    self.requests[key] = records.decode_request(value)
                continue
            assert value is not None, "control deletes nothing but requests"
            if table == records.SPACE:
                space = records.decode_space(value)
                self.spaces[space.number] = space
                self._space_names[space.name] = space.number
                self._note(space.number, space.revision)
            elif table == records.RULES:
                self.rules[int.from_bytes(key[1:5], "big")] = records.decode_rules(value)
            elif table == records.MET_TYPES:
                space_number = int.from_bytes(key[1:], "big")
                met = self.met_types[space_number] = records.decode_met_types(value)
                self._note(space_number, met.revision)
            elif table == records.CREDENTIAL:
                credential = records.decode_credential(value)
                self.credentials[credential.hash] = credential
                name = (credential.space, credential.kind, credential.credential_id)
                self._credential_ids[name] = credential.hash
                self._note(credential.hash, credential.revision)
            elif table == records.DEPLOYMENT:
                self.deployment = records.decode_deployment(value)

    def _note(self, entry: int | bytes, revision: int) -> None:
        revision = max(revision, self._changed.pop(entry, 0))
        self._changed[entry] = revision
        self.revision = max(self.revision, revision)

    # -- commands ---------------------------------------------------------------------------

    def found(self, signing_key: bytes, admin_token: str, now_us: int) -> Decision[None, None]:
        """Founds a deployment, once, with its first admin token if one is given."""
        draft = Draft(self)
        if self.deployment is None:
            draft.set_deployment(Deployment(records.FORMAT, signing_key, 1, 1, 1))
        if admin_token and hash_credential(admin_token) not in self.credentials:
            admin = draft.new_credential(
                ADMIN_TOKEN, "admin", secret=admin_token, name="admin", now_us=now_us
            )
            start = Occurrence(
                author=AT_START,
                now_us=now_us,
                space=0,
                action="Start",
                details=msgspec.json.encode({"admin_token": admin.name}),
            )
            draft.audit_as_said(start)
        return draft.decide(None)

    def has_admin_token(self) -> bool:
        """Whether anybody can administer the deployment."""
        return any(each.kind == ADMIN_TOKEN for each in self.credentials.values())

    def administer(self, command: AnyCommand) -> Decision[None, Administered]:
        """Makes an administrative change, or says why not; a repetition changes nothing.

        Raises:
            RulesInvalid: rules are not a valid document; whoever asks has checked that before.
        """
        repeated = self._find_repeated(command)
        if repeated is not None:
            return Decision(repeated)
        match command:
            case NewSpace():
                return self._create_space(command)
            case NewRules():
                return self._set_rules(command)
            case NewSource() | NewAccessToken():
                return self._create_credential(command)
            case Revocation():
                return self._revoke(command)
            case Occurrence():
                draft = Draft(self)
                draft.audit_as_said(command)
                return draft.answer(command, Administered())
        assert_never(command)

    def see_types(self, space: int, types: list[str]) -> Decision[None, bool]:
        """Has a space meet types, in this order, as long as it welcomes them and has room."""
        document = msgspec.json.decode(self.rules[space].document)
        rules = Rules.from_document(document, self.rules[space].version)
        met = list(self.met_types[space].types) if space in self.met_types else []
        known = rules.listed_types.union(met)
        for type_name in dict.fromkeys(types):
            has_room = rules.accept_new_types and len(known) < TYPES_MAX
            is_welcome = has_room or type_name in BUILT_IN_TYPES
            if type_name not in known and is_welcome and is_type_name(type_name):
                met.append(type_name)
                known |= {type_name}
        draft = Draft(self)
        if space not in self.met_types or met != self.met_types[space].types:
            draft.set_met_types(space, met)
        return draft.decide(True)

    def _find_repeated(self, command: AnyCommand) -> Administered | None:
        """Returns the first answer to a command that was carried out before."""
        if not command.request_id:
            return None
        row = self.requests.get(records.request_key(command.caller_space, command.request_id))
        if row is None or row.made_us <= command.now_us - REQUESTS_KEPT_US:
            return None
        if row.content != command.content:
            return refused(REQUEST_ID_REUSED)
        first = decode_administered(row.answer)
        rules = first.rules
        if rules is not None and first.space is not None:
            rules = self.read_rules(first.space.number, rules.version)
        return msgspec.structs.replace(first, is_repeat=True, revision=self.revision, rules=rules)

    def _create_space(self, command: NewSpace) -> Decision[None, Administered]:
        document = _written_out(command.rules, 1)
        if command.name in self._space_names:
            return Decision(refused(SPACE_NAME_TAKEN))
        draft = Draft(self)
        rules = RulesVersion(records.FORMAT, 1, document, command.now_us, command.author)
        space = draft.new_space(command, rules)
        source = draft.new_credential(
            WRITE_KEY,
            command.source_id,
            secret=command.write_key,
            space=space.number,
            name="default",
            now_us=command.now_us,
        )
        token = draft.new_credential(
            ACCESS_TOKEN,
            command.access_token_id,
            secret=command.access_token,
            space=space.number,
            name="default",
            now_us=command.now_us,
            scopes=command.scopes,
        )
        draft.audit_of(
            command,
            space.number,
            "CreateSpace",
            {
                "name": space.name,
                "rules_version": 1,
                "source_id": source.credential_id,
                "access_token_id": token.credential_id,
            },
        )
        answer = Administered(space=space, rules=rules, credentials=[source, token])
        return draft.answer(command, answer)

    def _set_rules(self, command: NewRules) -> Decision[None, Administered]:
        space = self.spaces.get(command.space)
        if space is None:
            return Decision(refused(SPACE_NOT_FOUND))
        if command.expected_version not in {0, space.rules_version}:
            return Decision(refused(RULES_CHANGED))
        version = space.rules_version + 1
        document = _written_out(command.rules, version)
        listed = Rules.from_document(msgspec.json.decode(document), version).listed_types
        met = self.met_types[space.number].types if space.number in self.met_types else []
        count = len(listed.union(met))
        if count > TYPES_MAX:
            text = f"with the types that the space met there are {count}; at most {TYPES_MAX} types"
            return Decision(invalid([("rules_json.identifiers", text)]))
        rules = RulesVersion(records.FORMAT, version, document, command.now_us, command.author)
        draft = Draft(self)
        changed = draft.set_rules(space, rules)
        draft.audit_of(command, space.number, "SetRules", {"rules_version": version})
        return draft.answer(command, Administered(space=changed, rules=rules))

    def _create_credential(
        self, command: NewSource | NewAccessToken
    ) -> Decision[None, Administered]:
        space = self.spaces.get(command.space)
        if space is None:
            return Decision(refused(SPACE_NOT_FOUND))
        draft = Draft(self)
        if isinstance(command, NewSource):
            made = draft.new_credential(
                WRITE_KEY,
                command.source_id,
                secret=command.write_key,
                space=space.number,
                name=command.name,
                now_us=command.now_us,
            )
            details: dict[str, object] = {"source_id": made.credential_id, "name": made.name}
            draft.audit_of(command, space.number, "CreateSource", details)
            return draft.answer(command, Administered(space=space, credentials=[made]))
        if command.expire_us is not None and command.expire_us <= command.now_us:
            return Decision(invalid([("expire_time", "has passed already")]))
        made = draft.new_credential(
            ACCESS_TOKEN,
            command.access_token_id,
            secret=command.access_token,
            space=space.number,
            name=command.name,
            now_us=command.now_us,
            scopes=command.scopes,
            expire_us=command.expire_us,
        )
        draft.audit_of(
            command,
            space.number,
            "CreateAccessToken",
            {
                "access_token_id": made.credential_id,
                "name": made.name,
                "scopes": made.scopes,
                "expire_us": made.expire_us,
            },
        )
        return draft.answer(command, Administered(space=space, credentials=[made]))

    def _revoke(self, command: Revocation) -> Decision[None, Administered]:
        space = self.spaces.get(command.space)
        if space is None:
            return Decision(refused(SPACE_NOT_FOUND))
        found = self._credential_ids.get((command.space, command.kind, command.credential_id))
        is_source = command.kind == WRITE_KEY
        if found is None:
            return Decision(refused(SOURCE_NOT_FOUND if is_source else ACCESS_TOKEN_NOT_FOUND))
        credential = self.credentials[found]
        draft = Draft(self)
        if credential.revoked_us is None:
            credential = draft.revoke(credential, command.now_us)
            action = "RevokeWriteKey" if is_source else "RevokeAccessToken"
            field = "source_id" if is_source else "access_token_id"
            details = {field: credential.credential_id, "name": credential.name}
            draft.audit_of(command, space.number, action, details)
        return draft.answer(command, Administered(space=space, credentials=[credential]))

    # -- questions --------------------------------------------------------------------------

    def read_rules(self, space: int, version: int) -> RulesVersion | None:
        """Returns a version of a space's rules, None for one that never was."""
        if not 0 < version < 1 << 32:
            return None
        data = self.view.get(records.rules_key(space, version))
        return records.decode_rules(data) if data is not None else None

    def directory_since(self, revision: int) -> DirectoryChanges | None:
        """Returns what changed after a revision; None: nothing. After 0, that is everything."""
        assert self.deployment is not None, "a deployment is founded first"
        if revision == self.revision:
            return None
        is_whole = not 0 < revision < self.revision
        spaces, credentials = [], []
        for entry, changed in reversed(self._changed.items()):
            if changed <= revision and not is_whole:
                break
            if isinstance(entry, int):
                spaces.append(self._space_entry(entry))
            else:
                credentials.append(self.credentials[entry])
        return DirectoryChanges(
            self.revision,
            is_whole,
            self.deployment.signing_key,
            sorted(spaces, key=lambda each: each.record.number),
            sorted(credentials, key=lambda each: each.number),
        )

    def _space_entry(self, number: int) -> SpaceEntry:
        met = self.met_types.get(number)
        rules = self.rules[number]
        return SpaceEntry(
            self.spaces[number], rules, met.types if met else [], self._earlier(number, rules)
        )

    def _earlier(self, number: int, rules: RulesVersion) -> list[tuple[RulesVersion, int]]:
        """Returns the versions before one, as far as gateways need them."""
        earlier = []
        for version in range(rules.version - 1, max(0, rules.version - 1 - EARLIER_MAX), -1):
            before = self.read_rules(number, version)
            assert before is not None, "every version is kept"
            earlier.append((before, rules.created_us))
            rules = before
        return earlier


def _written_out(document: bytes, version: int) -> bytes:
    """Returns a rules document with every default in it, so that its meaning never changes."""
    rules = Rules.from_document(msgspec.json.decode(document), version)
    return msgspec.json.encode(rules.to_document())
