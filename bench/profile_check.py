"""Reads profiles back and compares them with the ledger: proof that the work was done."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import field_mask_pb2

from bench.ledger import Name
from unify_grpc._pb.unify.v1 import identity_pb2, profile_service_pb2, profile_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.ledger import Ledger

CALL_TIMEOUT_S = 20.0
CHECKSUM_BYTES = 8


class ProfileCheck:
    """Keeps what was read, what is wrong with it, and a checksum of it."""

    def __init__(self, access_token: str) -> None:
        self.metadata = (("authorization", f"Bearer {access_token}"),)
        self.profiles_count = 0
        self.wrong: list[str] = []
        """In sentences."""
        self._digest = blake2b(digest_size=CHECKSUM_BYTES)

    @property
    def checksum(self) -> str:
        """Of all that was read so far, in hexadecimal digits."""
        return self._digest.hexdigest()

    async def read(self, stub: Any, name: Name, expected: tuple[list[Name], int]) -> None:
        """Looks an identifier up: its profile has to be as `Ledger.profile` returned it.

        Args:
            stub: of `ProfileService`, for asyncio.
            name: what is looked up.
            expected: all identifiers of its profile, sorted, and the number of its events.
        """
        request = profile_service_pb2.GetProfileRequest(
            name=profile_name(name),
            read_mask=field_mask_pb2.FieldMask(paths=["metadata", "external_ids"]),
        )
        response = await stub.GetProfile(request, metadata=self.metadata, timeout=CALL_TIMEOUT_S)
        profile = response.profile
        names = sorted(Name(each.type, each.id) for each in profile.external_ids)
        events_count = profile.metadata.events_count
        self._note(([tuple(each) for each in names], events_count))
        expected_names, expected_count = expected
        if names != expected_names:
            self.wrong.append(f"the profile of {name} has {names}, not {expected_names}")
        elif events_count != expected_count:
            self.wrong.append(
                f"the profile of {name} has {events_count} events, not {expected_count}"
            )

    async def read_nothing(self, stub: Any, name: Name) -> None:
        """Looks up an identifier that no profile may have; arguments as those of `read`."""
        request = profile_service_pb2.GetProfileRequest(name=profile_name(name))
        try:
            await stub.GetProfile(request, metadata=self.metadata, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
            self._note(None)
        else:
            self._note(name)
            self.wrong.append(f"{name} is found")

    def _note(self, read: object) -> None:
        self.profiles_count += read is not None
        self._digest.update(repr(read).encode())


async def check_profiles(
    address: str, check: ProfileCheck, sample: Sequence[tuple[Name, Ledger]]
) -> None:
    """Reads the profiles of identifiers: each has to be what its ledger makes of it now."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = profile_service_pb2_grpc.ProfileServiceStub(channel)
        for name, ledger in sample:
            await check.read(stub, name, ledger.profile(name))


def profile_name(name: Name) -> identity_pb2.ProfileName:
    """Returns an identifier as the wire names a profile by it."""
    return identity_pb2.ProfileName(identifier=identifier(name))


def identifier(name: Name) -> identity_pb2.Identifier:
    """Returns an identifier as the wire writes it."""
    return identity_pb2.Identifier(collection="users", type=name.type, value=name.value)
