"""Questions about links between users and accounts that one shard answers, and its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from unify_grpc.machines.account_links import LinkPlace, first_place, list_places

if TYPE_CHECKING:
    from unify_grpc.machines.account_links import OrderedRows


class ListLinks(msgspec.Struct, array_like=True, frozen=True, tag="links"):
    """Which links do these members have, in their order?"""

    members: list[bytes]
    after: LinkPlace | None
    limit: int


class ListedLinks(msgspec.Struct, array_like=True, frozen=True):
    """The first links after a place."""

    places: list[LinkPlace]


class FirstLinks(msgspec.Struct, array_like=True, frozen=True, tag="first_links"):
    """Which is the first link of these members to each of several groups of others?"""

    members: list[bytes]
    others: list[list[bytes]]


class FoundFirstLinks(msgspec.Struct, array_like=True, frozen=True):
    """The first link to each group; None: there is none here."""

    places: list[LinkPlace | None]


LinkQuestion = ListLinks | FirstLinks
LinkAnswer = ListedLinks | FoundFirstLinks
LINK_ANSWERS: dict[type, type] = {ListLinks: ListedLinks, FirstLinks: FoundFirstLinks}


def answer_link_question(view: OrderedRows, question: LinkQuestion) -> LinkAnswer:
    """Answers from the rows of one moment."""
    if isinstance(question, ListLinks):
        return ListedLinks(list_places(view, question.members, question.after, question.limit))
    return FoundFirstLinks(
        [first_place(view, question.members, others) for others in question.others]
    )
