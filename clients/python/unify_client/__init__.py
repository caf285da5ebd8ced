"""The Python client of Unify, blocking and asyncio.

What is imported from here is the interface; modules behind it may change. `unify_client.testing`
has a fake service for the tests of those who use the client.
"""

from __future__ import annotations

from unify_client.asynchronous import AsyncUnifyClient
from unify_client.blocking import UnifyClient
from unify_client.errors import (
    AlreadyExists,
    ArgumentInvalid,
    ClientClosed,
    CredentialInvalid,
    DeadlineExceeded,
    EventInvalid,
    EventRejected,
    LinkUndecided,
    NotFound,
    ProfileNotFound,
    RequestIdReused,
    RequestInvalid,
    ResourceExhausted,
    RulesVersionNotFound,
    ScopeMissing,
    SecretsNotShown,
    ServiceError,
    ServiceFailed,
    ServiceUnavailable,
    ShardOverloaded,
    ShardUnavailable,
    SpaceNameTaken,
    SpaceNotFound,
    StorageCorrupt,
    StorageFull,
    UnifyClientError,
    Unimplemented,
)
from unify_client.events import Event, alias, group, identify, page, screen, track
from unify_client.identifiers import ExternalId, Identifier
from unify_client.names import ProfileNamed
from unify_client.operations import ProfilePart
from unify_client.profiles import (
    Profile,
    ProfileEvent,
    ProfileExternalId,
    ProfileMetadata,
    Trait,
)
from unify_client.results import Drop, EventResult
from unify_client.settings import Keepalive, RetryPolicy, TlsConfig
from unify_client.spaces import (
    CreatedSpace,
    MergeActorStatus,
    Rules,
    ServiceStatus,
    ShardStatus,
    Space,
)
from unify_client.status_details import FieldViolation
from unify_client.vocabulary import (
    Ack,
    DropReason,
    EventStatus,
    Outcome,
    RejectionReason,
    ResultView,
    ServingState,
    SortOrder,
    TraitClass,
)

__all__ = [
    "Ack",
    "AlreadyExists",
    "ArgumentInvalid",
    "AsyncUnifyClient",
    "ClientClosed",
    "CreatedSpace",
    "CredentialInvalid",
    "DeadlineExceeded",
    "Drop",
    "DropReason",
    "Event",
    "EventInvalid",
    "EventRejected",
    "EventResult",
    "EventStatus",
    "ExternalId",
    "FieldViolation",
    "Identifier",
    "Keepalive",
    "LinkUndecided",
    "MergeActorStatus",
    "NotFound",
    "Outcome",
    "Profile",
    "ProfileEvent",
    "ProfileExternalId",
    "ProfileMetadata",
    "ProfileNamed",
    "ProfileNotFound",
    "ProfilePart",
    "RejectionReason",
    "RequestIdReused",
    "RequestInvalid",
    "ResourceExhausted",
    "ResultView",
    "RetryPolicy",
    "Rules",
    "RulesVersionNotFound",
    "ScopeMissing",
    "SecretsNotShown",
    "ServiceError",
    "ServiceFailed",
    "ServiceStatus",
    "ServiceUnavailable",
    "ServingState",
    "ShardOverloaded",
    "ShardStatus",
    "ShardUnavailable",
    "SortOrder",
    "Space",
    "SpaceNameTaken",
    "SpaceNotFound",
    "StorageCorrupt",
    "StorageFull",
    "TlsConfig",
    "Trait",
    "TraitClass",
    "UnifyClient",
    "UnifyClientError",
    "Unimplemented",
    "alias",
    "group",
    "identify",
    "page",
    "screen",
    "track",
]
