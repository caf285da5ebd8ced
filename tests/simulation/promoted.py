"""What a version of the rules makes of an event, read from its document and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from unify_grpc.identity.identifiers import USER_ID, USERS, Identifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.simulation.traffic import Sent

Side = tuple[Identifier, ...]
"""What is stored together, the anchor first."""


class Promoted(NamedTuple):
    """The sides of an event under one version; none where it is refused."""

    users: Side
    accounts: Side
    is_history: bool
    """Whether it is kept under its anchor and links nothing."""

    @property
    def sides(self) -> tuple[Side, ...]:
        """Those that there are, the user's first."""
        return tuple(side for side in (self.users, self.accounts) if side)


def promoted(sent: Sent, document: Mapping[str, Any]) -> Promoted:
    """Returns what is stored of an event under the rules of a document."""
    users = _kept(sent.users, document)
    if sent.type != "alias":
        return Promoted(users, _kept(sent.accounts, document), is_history=False)
    links = document.get("alias_links")
    (user_id,) = sent.users
    named = [user_id]
    if links is not None:
        named.append(Identifier(USERS, links, sent.previous_id))
    joins = links is not None and user_id.value != sent.previous_id
    users = _kept(named, document) if joins else ()
    if users:
        return Promoted(users, (), is_history=False)
    return Promoted(_kept([user_id], document), (), is_history=True)


def _kept(named: Iterable[Identifier], document: Mapping[str, Any]) -> Side:
    """Returns those that identify somebody, by priority and then as they were named."""
    listed = [entry["type"] for entry in document["identifiers"]]
    exact = {entry["exact"] for entry in document.get("blocked", ())}
    own = {
        entry["type"]: {each["exact"] for each in entry.get("blocked", ())}
        for entry in document["identifiers"]
    }
    takes_any = document.get("accept_new_types", True)
    kept = [
        each
        for each in dict.fromkeys(named)
        if (takes_any or each.type in listed or each.type in _OF_EVENTS)
        and each.value not in exact
        and each.value not in own.get(each.type, ())
    ]
    return tuple(sorted(kept, key=lambda each: _rank(each.type, listed)))


_OF_EVENTS = {USER_ID, "email", "group_id", "anonymous_id"}
"""Types with a place of their own in an event: no rules switch them off."""


def _rank(type_: str, listed: list[str]) -> tuple[int, str]:
    return (listed.index(type_), "") if type_ in listed else (len(listed), type_)
