"""Spaces of a service that dies now and then, at an address that stays the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from unify_client import RetryPolicy, SecretsNotShown, ServiceError, SpaceNameTaken, UnifyClient

from tests.integration.service import ADMIN_TOKEN

if TYPE_CHECKING:
    from unify_client import Identifier

ATTEMPT_S: Final = 5.0
_AT_REST_S: Final = 30.0
"""For one read where nothing is killed: none hangs, however busy the machine is."""
PATIENT: Final = RetryPolicy(deadline_s=60.0, pause_max_s=0.5)
HARMLESS_CODES: Final = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
"""What a call may end with while parts of the service are away."""
_ATTEMPTS = 20


def is_harmless(error: ServiceError) -> bool:
    """Whether a call may fail like this while parts of the service are away."""
    return error.code in HARMLESS_CODES


class ChaosSpace(NamedTuple):
    """A space and how to reach it."""

    address: str
    space_id: str
    write_key: str

    def writer(self, retry: RetryPolicy = PATIENT) -> UnifyClient:
        """Returns a client that sends events."""
        return UnifyClient(self.address, key=self.write_key, timeout_s=ATTEMPT_S, retry=retry)

    def reader(self, retry: RetryPolicy = PATIENT) -> UnifyClient:
        """Returns a client that reads, and deletes identifiers."""
        return self._reader(ATTEMPT_S, retry)

    def reader_at_rest(self) -> UnifyClient:
        """Returns a client that reads while nothing is killed."""
        return self._reader(_AT_REST_S, PATIENT)

    def _reader(self, attempt_s: float, retry: RetryPolicy) -> UnifyClient:
        return UnifyClient(
            self.address, key=ADMIN_TOKEN, space=self.space_id, timeout_s=attempt_s, retry=retry
        )


def admin_of(address: str, retry: RetryPolicy = PATIENT) -> UnifyClient:
    """Returns a client that makes spaces."""
    return UnifyClient(address, key=ADMIN_TOKEN, timeout_s=ATTEMPT_S, retry=retry)


def make_space(admin: UnifyClient, address: str, name: str, rules: dict[str, Any]) -> ChaosSpace:
    """Makes a space under a name or, where an answer was lost, under one that begins with it."""
    for attempt in range(_ATTEMPTS):
        try:
            made = admin.create_space(f"{name}-{attempt}", rules=rules)
        except (SecretsNotShown, SpaceNameTaken):
            continue
        except ServiceError as error:
            if not is_harmless(error):
                raise
        else:
            return ChaosSpace(address, made.space_id, made.write_key)
    message = f"no space could be made in {_ATTEMPTS} attempts"
    raise AssertionError(message)


def delete_patiently(
    reader: UnifyClient, name: Identifier, gone: Identifier, request_id: str
) -> None:
    """Parts a profile from an identifier, and repeats it until there is an answer."""
    for _ in range(_ATTEMPTS):
        try:
            reader.delete_external_ids(name, [gone], request_id=request_id)
        except ServiceError as error:
            if not is_harmless(error):
                raise
        else:
            return
    message = f"a deletion had no answer in {_ATTEMPTS} attempts"
    raise AssertionError(message)
