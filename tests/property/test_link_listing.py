"""Lists of links against what the events say, through merges of both sides and page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.in_process import InProcessService
from unify_grpc.identity.identifiers import ACCOUNTS, USERS
from unify_grpc.machines.link_listing import SCANS_MAX, list_links

if TYPE_CHECKING:
    from unify_grpc.machines.account_links import LinkPlace
    from unify_grpc.machines.link_listing import ProfileLink

EPOCH_US = 1_704_067_200_000_000
"""2024-01-01."""
USER_IDS = [f"anonymous_id:u{number}" for number in range(4)]
ACCOUNT_IDS = [f"group_id:g{number}" for number in range(4)]
NAMES = {USERS: USER_IDS, ACCOUNTS: ACCOUNT_IDS}
BIG_US = 2**62

pairs = st.tuples(st.sampled_from(USER_IDS), st.sampled_from(ACCOUNT_IDS), st.integers(0, 9))
merges = st.sampled_from([USER_IDS, ACCOUNT_IDS]).flatmap(
    lambda names: st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True)
)


def group_call(user: str, account: str, second: int, number: int) -> dict[str, Any]:
    """Returns an event that names a user and an account."""
    return {
        "type": "group",
        "messageId": f"m{number}",
        "anonymousId": user.partition(":")[2],
        "groupId": account.partition(":")[2],
        "timestamp": f"2024-01-01T00:00:0{second}Z",
    }


def joining(first: str, second: str, number: int) -> dict[str, Any]:
    """Returns an event that makes two identifiers of one collection one profile."""
    type_, _, value = first.partition(":")
    _, _, other = second.partition(":")
    collection = ACCOUNTS if type_ == "group_id" else USERS
    entry = {"id": other, "type": type_, "collection": collection, "encoding": "none"}
    event: dict[str, Any] = {
        "messageId": f"j{number}",
        "context": {"externalIds": [entry]},
        "timestamp": "2024-01-01T00:00:00Z",
    }
    if collection == ACCOUNTS:
        return {**event, "type": "group", "groupId": value}
    return {**event, "type": "track", "event": "Seen", "anonymousId": value}


def listed(service: InProcessService, collection: str, name: str, limit: int) -> list[ProfileLink]:
    """Returns all links of a profile, read in pages."""
    found: list[ProfileLink] = []
    after: LinkPlace | None = None
    key = service.key(collection, name)
    while True:
        page = service.read(
            list_links(service.shard_map, service.space.number, key, after=after, limit=limit)
        )
        if page is None:
            return []
        assert len(page.links) <= limit
        found.extend(page.links)
        if page.after is None:
            return found
        assert after is None or after < page.after
        after = page.after


@settings(max_examples=60, deadline=None)
@given(
    st.lists(pairs | merges, max_size=14),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_each_profile_is_listed_once_at_its_first_event(
    steps: list[Any], shards: int, limit: int
) -> None:
    """Both ways, whatever merged when: the other profiles by the time of the first event that
    named identifiers of both.
    """
    service = InProcessService({"others": {"limit": None, "window": "ever"}}, shards=shards)
    named: list[tuple[str, str, int]] = []
    for number, step in enumerate(steps):
        if len(step) == len(("user", "account", "second")):
            user, account, second = step
            service.send(group_call(user, account, second, number))
            named.append(step)
        else:
            first, other = step
            service.send(joining(first, other, number))
    for collection, names in NAMES.items():
        for name in names:
            _check(service, collection, name, named, limit)


def _check(
    service: InProcessService,
    collection: str,
    name: str,
    named: list[tuple[str, str, int]],
    limit: int,
) -> None:
    own = service.segment_id(name, collection)
    other = ACCOUNTS if collection == USERS else USERS
    expected: dict[str, int] = {}
    for user, account, second in named:
        here, there = (user, account) if collection == USERS else (account, user)
        if own is not None and service.segment_id(here, collection) == own:
            far = service.segment_id(there, other)
            assert far is not None
            expected[far] = min(second, expected.get(far, BIG_US))
    links = listed(service, collection, name, limit)
    found = {
        service.segment_id(f"{part.type}:{part.value}", other): (link.time_us - EPOCH_US)
        for link in links
        for part in link.profile.parts[:1]
    }

    assert len(links) == len(expected)
    assert {far: second * 1_000_000 for far, second in expected.items()} == found
    assert [link.time_us for link in links] == sorted(link.time_us for link in links)


def test_a_page_is_short_where_much_is_passed_over() -> None:
    """Work for one page is bounded: where rows repeat profiles shown before, it ends early, and
    the next one goes on.
    """
    service = InProcessService({"others": {"limit": None, "window": "ever"}})
    count = 2 * SCANS_MAX + 2
    for number in range(count):
        service.send(group_call(f"anonymous_id:u{number}", "group_id:g0", 0, number))
        service.send(joining("anonymous_id:u0", f"anonymous_id:u{number + 1}", number))
    key = service.key(ACCOUNTS, "group_id:g0")
    reading = list_links(service.shard_map, service.space.number, key, after=None, limit=2)
    page = service.read(reading)

    assert page is not None
    assert page.after is not None
    assert len(page.links) <= 1
    assert 1 == len(listed(service, ACCOUNTS, "group_id:g0", 2))
