"""Reads profiles back and compares them with the ledger: proof that the work was done."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import grpc
from google.protobuf import field_mask_pb2

from bench.ledger import Name
from unify_grpc._pb.unify.v1 import identity_pb2, profile_service_pb2, profile_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.ledger import Ledger

READ_TIMEOUT_S = 20.0
CHECKSUM_BYTES = 8


async def check_profiles(
    address: str, access_token: str, sample: Sequence[tuple[Name, Ledger]]
) -> tuple[int, list[str], str]:
    """Looks identifiers up: each profile's identifiers and event count must be those expected.

    Returns:
        How many were read, what is wrong in sentences, and a checksum of what was read.
    """
    wrong: list[str] = []
    digest = blake2b(digest_size=CHECKSUM_BYTES)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = profile_service_pb2_grpc.ProfileServiceStub(channel)
        for name, ledger in sample:
            response = await stub.GetProfile(
                profile_service_pb2.GetProfileRequest(
                    name=identity_pb2.ProfileName(
                        identifier=identity_pb2.Identifier(type=name.type, value=name.value)
                    ),
                    read_mask=field_mask_pb2.FieldMask(paths=["metadata", "external_ids"]),
                ),
                metadata=(("authorization", f"Bearer {access_token}"),),
                timeout=READ_TIMEOUT_S,
            )
            profile = response.profile
            names = sorted(Name(each.type, each.id) for each in profile.external_ids)
            events_count = profile.metadata.events_count
            digest.update(repr(([tuple(each) for each in names], events_count)).encode())
            expected_names, expected_count = ledger.profile(name)
            if names != expected_names:
                wrong.append(f"the profile of {name} has {names}, not {expected_names}")
            elif events_count != expected_count:
                wrong.append(f"the profile of {name} has {events_count} events")
                wrong[-1] += f", not {expected_count}"
    return len(sample), wrong, digest.hexdigest()
