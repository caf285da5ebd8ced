"""Checks of `SpaceService`'s requests: every fault of a request at once."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

import msgspec

from unify_grpc.identity.rules import Rules
from unify_grpc.identity.rules_document import RulesInvalid
from unify_grpc.service.checks import check_time, request_id_violations
from unify_grpc.service.errors import RequestInvalidError
from unify_grpc.service.space_wire import SCOPE_NAMES

NAME_CHARS_MAX: Final = 100
RULES_BYTES_MAX: Final = 1 << 20
SCOPES_DEFAULT: Final = ("read", "pii")

Violations = list[tuple[str, str]]
"""(field, what is wrong with it)."""


def check_create_space(request: Any) -> bytes:
    """Returns the rules document of a new space, as JSON."""
    rules: bytes = request.rules_json or b"{}"
    violations = _name_violations(request.name)
    if "/" in request.name and not violations:
        violations.append(("name", "must not have a /"))
    _refuse([*violations, *rules_violations(rules), *request_id_violations(request)])
    return rules


def check_set_rules(request: Any) -> bytes:
    """Returns the rules document to set, as JSON."""
    rules: bytes = request.rules_json
    violations = rules_violations(rules) if rules else [("rules_json", "is required")]
    if request.expected_version < 0:
        violations.append(("expected_version", "must not be negative"))
    _refuse([*violations, *request_id_violations(request)])
    return rules


def check_create_source(request: Any) -> None:
    """Refuses a source without a name, or of no space."""
    _refuse(
        [
            *_space_violations(request),
            *_name_violations(request.name),
            *request_id_violations(request),
        ]
    )


def check_create_access_token(request: Any) -> tuple[list[str], int | None]:
    """Returns (scopes, moment of expiry in microseconds since 1970) of a new access token."""
    violations = [
        *_space_violations(request),
        *_name_violations(request.name),
        *request_id_violations(request),
    ]
    for index, scope in enumerate(request.scopes):
        if scope not in SCOPE_NAMES:
            violations.append((f"scopes[{index}]", "is not a known value"))
    expire_us = None
    try:
        expire_us = check_time("expire_time", request)
    except RequestInvalidError as invalid:
        violations.extend(invalid.violations)
    _refuse(violations)
    scopes = [SCOPE_NAMES[scope] for scope in dict.fromkeys(request.scopes)]
    return scopes or list(SCOPES_DEFAULT), expire_us


def check_revoke(request: Any, field: str) -> None:
    """Refuses to revoke what is not named in `field`."""
    violations = [*_space_violations(request), *request_id_violations(request)]
    if not getattr(request, field):
        violations.append((field, "is required"))
    _refuse(violations)


def check_space(request: Any) -> None:
    """Refuses a request that names no space."""
    _refuse(_space_violations(request))


def rules_violations(text: bytes) -> Violations:
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


def _refuse(violations: Violations) -> None:
    if violations:
        raise RequestInvalidError(violations)


def _space_violations(request: Any) -> Violations:
    return [] if request.space else [("space", "is required")]


def _name_violations(name: str) -> Violations:
    if not 0 < len(name) <= NAME_CHARS_MAX:
        return [("name", f"must have 1 to {NAME_CHARS_MAX} characters")]
    if any(unicodedata.category(character) == "Cc" for character in name):
        return [("name", "must not have control characters")]
    return []
