"""`SpaceService`: the spaces of the service. More of it comes with administration."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import msgspec

from unify_grpc._pb.unify.v1 import (
    header_pb2,
    space_pb2,
    space_service_pb2,
    space_service_pb2_grpc,
)
from unify_grpc.identity.rules import Rules
from unify_grpc.identity.rules_document import RulesInvalid
from unify_grpc.machines.control_machine import NewSpace
from unify_grpc.service.calls import current_call
from unify_grpc.service.checks import check_page_size
from unify_grpc.service.errors import (
    RequestInvalidError,
    RulesVersionNotFoundError,
    SpaceNameTakenError,
)
from unify_grpc.service.page_tokens import make_token, read_token, scope_of
from unify_grpc.service.profile_wire import time_to_wire

if TYPE_CHECKING:
    from unify_grpc.machines.control_machine import SpaceRecord
    from unify_grpc.service.backend import Backend
    from unify_grpc.service.directory import SpaceDirectory

NAME_CHARS_MAX = 100
REQUEST_ID_CHARS_MAX = 100
RULES_BYTES_MAX = 256 * 1024
PAGE_DEFAULT, PAGE_MAX = 50, 200
SCOPES_DEFAULT = ["read", "pii"]


class SpaceServicer(space_service_pb2_grpc.SpaceServiceServicer):
    """Translates between the wire and control."""

    def __init__(self, backend: Backend, directory: SpaceDirectory) -> None:
        self._backend = backend
        self._directory = directory

    async def CreateSpace(self, request: Any, context: Any) -> Any:
        """Makes a space with a write key and an access token, shown once."""
        del context
        call = current_call()
        rules = _check_create(request)
        write_key, access_token = _new_secret("wk"), _new_secret("at")
        command = NewSpace(
            name=request.name,
            rules=rules,
            request_id=request.request_id,
            author=call.caller.credential.credential_id,
            now_us=time.time_ns() // 1000,
            space_id="spa_" + secrets.token_hex(8),
            secret=secrets.token_bytes(32),
            write_key=write_key,
            source_id="src_" + secrets.token_hex(8),
            access_token=access_token,
            access_token_id="tok_" + secrets.token_hex(8),
            scopes=SCOPES_DEFAULT,
        )
        created = await self._backend.create_space(command)
        if created.space is None:
            raise SpaceNameTakenError
        await self._directory.renew()
        response = space_service_pb2.CreateSpaceResponse(
            space=_space_to_wire(created.space),
            header=header_pb2.ReplyHeader(request_id=call.request_id),
        )
        if not created.is_repeat:
            response.source_id = command.source_id
            response.write_key = write_key
            response.access_token_id = command.access_token_id
            response.access_token = access_token
        return response

    async def GetSpace(self, request: Any, context: Any) -> Any:
        """Returns one space."""
        del context
        await self._directory.renew()
        space = self._directory.find_space(request.space)
        return space_service_pb2.GetSpaceResponse(
            space=_space_to_wire(space.record), header=_header()
        )

    async def ListSpaces(self, request: Any, context: Any) -> Any:
        """Lists all spaces, the oldest first."""
        del context
        size = check_page_size(request.page_size, PAGE_DEFAULT, PAGE_MAX)
        scope = scope_of("ListSpaces", 0, request)
        after = read_token(self._directory.signing_key, scope, request.page_token, int)
        await self._directory.renew()
        listed = [
            space.record
            for space in self._directory.spaces()
            if after is None or space.record.number > after
        ]
        page = listed[:size]
        response = space_service_pb2.ListSpacesResponse(
            spaces=[_space_to_wire(record) for record in page], header=_header()
        )
        if len(listed) > size:
            key = self._directory.signing_key
            response.next_page_token = make_token(key, scope, page[-1].number)
        return response

    async def GetRules(self, request: Any, context: Any) -> Any:
        """Returns a version of a space's rules, the newest unless another is named."""
        del context
        call = current_call()
        await self._directory.renew()
        own = call.caller.space
        # An access token's space is its own; a name of another is answered as if it did not exist.
        if own is not None and request.space in {"", own.record.space_id, own.record.name}:
            space = self._directory.find_space(own.record.space_id)
        elif own is not None:
            space = self._directory.find_space("")
        else:
            space = self._directory.find_space(request.space)
        versions = space.record.rules
        wanted = request.version or versions[-1].version
        found = next((each for each in versions if each.version == wanted), None)
        if found is None:
            raise RulesVersionNotFoundError
        return space_service_pb2.GetRulesResponse(
            rules=space_pb2.Rules(
                version=found.version,
                rules_json=found.document,
                created_time=time_to_wire(found.created_us),
                author=found.author,
            ),
            header=_header(),
        )


def _header() -> Any:
    return header_pb2.ReplyHeader(request_id=current_call().request_id)


def _new_secret(prefix: str) -> str:
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def _space_to_wire(record: SpaceRecord) -> Any:
    return space_pb2.Space(
        space_id=record.space_id,
        name=record.name,
        created_time=time_to_wire(record.created_us),
        rules_version=record.rules[-1].version,
    )


def _check_create(request: Any) -> bytes:
    """Returns the rules document as JSON; refuses a request with every fault it has."""
    violations: list[tuple[str, str]] = []
    if not 0 < len(request.name) <= NAME_CHARS_MAX or not request.name.isprintable():
        violations.append(("name", f"must have 1 to {NAME_CHARS_MAX} printable characters"))
    if len(request.request_id) > REQUEST_ID_CHARS_MAX:
        violations.append(("request_id", f"must have at most {REQUEST_ID_CHARS_MAX} characters"))
    rules: bytes = request.rules_json or b"{}"
    violations.extend(rules_violations(rules))
    if violations:
        raise RequestInvalidError(violations)
    return rules


def rules_violations(text: bytes) -> list[tuple[str, str]]:
    """Returns everything that is wrong with a rules document in JSON."""
    if len(text) > RULES_BYTES_MAX:
        return [("rules_json", f"has over {RULES_BYTES_MAX} bytes")]
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return [("rules_json", "is no JSON")]
    if not isinstance(document, dict):
        return [("rules_json", "is no JSON object")]
    try:
        Rules.from_document(document, 1)
    except RulesInvalid as invalid:
        return [(f"rules_json.{error.path}", error.text) for error in invalid.errors]
    return []
