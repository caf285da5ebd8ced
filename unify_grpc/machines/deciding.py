"""From the merge actor's tables to profiles, and from a resolution to what the journal keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from unify_grpc.identity.resolution import Owned, ProfileView, Resolution
from unify_grpc.machines import journal

if TYPE_CHECKING:
    from collections.abc import Hashable

    from unify_grpc.machines.links import Founding, PendingLink
    from unify_grpc.machines.tables import Working


class Parts(NamedTuple):
    """What one link is decided from."""

    working: Working
    link: PendingLink
    seq: int
    members: list[bytes]
    """Of the event's identifiers, the anchor first."""
    owners: dict[Hashable, ProfileView]
    """Member to its live profile; absent: nobody owns it."""
    linked: dict[bytes, ProfileView]
    """Those of the profiles that links made, by founding member."""
    foundings: dict[int, Founding]
    """Index of a member to how an event founded a profile for it alone."""


def view_of(working: Working, root: bytes, anchor: bytes) -> ProfileView:
    """Returns a live linked profile as the rules of identity see it.

    Hidden members count no more; but an event that was stored under one before it was deleted
    is decided as if the deletion came after it, so its anchor counts.
    """
    row = journal.read_profile(working, root)
    identifiers = [
        Owned(member, type_, joined_us)
        for member, type_, joined_us, _, is_hidden in row.members
        if not is_hidden or member == anchor
    ]
    return ProfileView(root, (row.created_us, row.order, root), row.merges, identifiers)


def write_down(parts: Parts, rules_version: int, resolution: Resolution) -> journal.Decision:
    """Writes a resolution down with everything its rows follow from."""
    working, link, seq, members, owners, linked, foundings = parts
    if resolution.survivor is None:
        root = members[0]
        newest = journal.newest_stamp(working, link.space)
        created_us, order = max(link.stamp_us, newest), seq
    else:
        root = cast("bytes", resolution.survivor)
        created_us, order, _ = next(view.created for view in owners.values() if view.id == root)
    kept = sorted({*resolution.kept, *resolution.unharmed})
    return journal.Decision(
        seq=seq,
        shard=link.shard,
        position=link.position,
        space=link.space,
        collection=link.collection,
        rules_version=rules_version,
        time_us=link.time_us,
        stamp_us=link.stamp_us,
        source=link.source,
        message_id=link.message_id,
        ids=[
            (member, type_, value)
            for member, (_, type_, value) in zip(members, link.ids, strict=True)
        ],
        outcome=int(resolution.outcome),
        root=root,
        created_us=created_us,
        order=order,
        merges=resolution.merges,
        kept=kept,
        drops=[(index, int(reason)) for index, reason in resolution.dropped],
        absorbed=[each for each in linked if each in resolution.absorbed],
        adopted=[(index, foundings[index]) for index in kept if index in foundings],
    )


def existed_before(founding: Founding, link: PendingLink) -> bool:
    """Whether a founding that a look-up shows came before the link; later in its stream: no."""
    return founding.stream != link.stream or founding.stamp_us < link.stamp_us
