"""What HTTP routes need of the gateway they belong to: the objects that the gRPC servicers use."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unify_grpc.http.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from unify_grpc.service.deleting import Deleter
    from unify_grpc.service.directory import SpaceDirectory
    from unify_grpc.service.draining import Draining
    from unify_grpc.service.ingestion import Ingestor
    from unify_grpc.service.profile_reads import ProfileReader
    from unify_grpc.service.server import Gateway
    from unify_grpc.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A gateway as its HTTP routes see it."""

    ingestor: Ingestor
    reader: ProfileReader
    deleter: Deleter
    directory: SpaceDirectory
    """Who may call (`authenticate`), and spaces by id or name (`find_space`)."""
    draining: Draining
    settings: Settings
    counts: Counts = field(default_factory=Counts)
    clock: Callable[[], float] = time.monotonic
    """Seconds that never go back, for limits of calls."""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits so many seconds."""


def edge_of(gateway: Gateway) -> Edge:
    """Returns the edge of a gateway."""
    return Edge(
        ingestor=gateway.ingestor,
        reader=gateway.reader,
        deleter=gateway.deleter,
        directory=gateway.directory,
        draining=gateway.draining,
        settings=gateway.settings,
    )
