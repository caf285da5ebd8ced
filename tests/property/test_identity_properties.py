"""What holds for every value, every document and every profile.

Histories are drawn small on purpose: few types and values, so that identifiers meet.
"""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from unify_grpc.identity.events import EVENT_TYPES, ClientEvent
from unify_grpc.identity.identifiers import normalise_value
from unify_grpc.identity.outcomes import DropReason, Outcome
from unify_grpc.identity.promotion import promote
from unify_grpc.identity.resolution import Candidate, Owned, ProfileView, Resolution, resolve
from unify_grpc.identity.rules import Rules
from unify_grpc.identity.traits import TraitCell, merge_traits

NOW_US = 1_700_000_000_000_000
TYPES = ("user_id", "email", "anonymous_id", "phone")
WINDOW_SECONDS = 100

quick = settings(max_examples=200, deadline=None)

limits = st.fixed_dictionaries(
    {
        "limit": st.one_of(st.none(), st.integers(0, 5)),
        "window": st.one_of(
            st.sampled_from(["ever", "daily", "weekly", "monthly", "annually"]),
            st.integers(1, 10**9),
            st.floats(1e-6, 1e9),
        ),
    }
)
blocked_lists = st.lists(
    st.one_of(
        st.fixed_dictionaries({"exact": st.text(st.characters(codec="utf-8"), max_size=20)}),
        st.fixed_dictionaries({"pattern": st.sampled_from(["^[0-]*$", "test", "^x+$", "(?i)no"])}),
    ),
    max_size=3,
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "identifiers": st.lists(
            st.builds(
                lambda name, limit, blocked, custom: {
                    "type": name,
                    **limit,
                    "blocked": blocked,
                    "custom": custom,
                },
                st.sampled_from(TYPES),
                limits,
                blocked_lists,
                st.booleans(),
            ),
            unique_by=lambda entry: entry["type"],
        ),
        "others": limits,
        "blocked": blocked_lists,
        "caps": st.fixed_dictionaries(
            {}, optional={"identifiers": st.integers(1, 9), "merges": st.integers(0, 9)}
        ),
        "accept_new_types": st.booleans(),
        "lowercase_email": st.booleans(),
        "alias_links": st.sampled_from([None, "user_id", "anonymous_id"]),
        "searchable_traits": st.lists(st.text(min_size=1, max_size=5), unique=True, max_size=3),
    },
)
json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**60), 2**60),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["null", "0", "a", "a@x", "ios", "users", "accounts", "app_id"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
external_ids = st.lists(
    st.one_of(
        json_values,
        st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("id", "type", "collection", "encoding"), json_values)
        ),
    ),
    max_size=3,
)
payloads = st.dictionaries(
    st.sampled_from([
        "email", "phone", "user_id", "userId", "traits", "device", "integrations", "groupId",
        "externalIds",
    ]),
    st.one_of(
        json_values,
        external_ids,
        st.dictionaries(
            st.sampled_from(["email", "type", "id", "token", "phone", "Google Analytics"]),
            json_values,
        ),
    ),
    max_size=4,
)  # fmt: skip
events = st.builds(
    ClientEvent,
    type=st.sampled_from(sorted(EVENT_TYPES)),
    user_id=json_values,
    anonymous_id=json_values,
    group_id=json_values,
    previous_id=json_values,
    traits=st.one_of(st.none(), payloads),
    properties=st.one_of(st.none(), payloads),
    context=st.one_of(st.none(), payloads),
    external_ids=st.one_of(st.none(), external_ids),
)


@quick
@given(st.sampled_from(TYPES), st.one_of(st.text(), json_values), st.booleans())
def test_normalising_twice_changes_nothing(
    type_name: str,
    value: object,
    lowercase: bool,  # noqa: FBT001  drawn
) -> None:
    """A normal form is its own normal form, is short and can be stored."""
    once = normalise_value(type_name, value, lowercase_email=lowercase)
    if once is None:
        return

    assert once == normalise_value(type_name, once, lowercase_email=lowercase)
    assert 0 < len(once.encode()) <= 256


@quick
@given(documents)
def test_rules_read_back_as_they_were_written(document: dict[str, Any]) -> None:
    """The document of rules makes equal rules."""
    rules = Rules.from_document(document, 3)

    assert rules == Rules.from_document(rules.to_document(), 3)
    assert rules.to_document() == Rules.from_document(rules.to_document(), 3).to_document()


@quick
@given(events, documents)
def test_promotion_is_a_function_and_never_raises(
    event: ClientEvent, document: dict[str, Any]
) -> None:
    """Any payload is promoted, each time the same, each identifier once and in its collection."""
    rules = Rules.from_document(document, 1)
    promotion = promote(event, rules)

    assert promotion == promote(event, rules) == promote(event, Rules.from_document(document, 1))
    for collection, side in (("users", promotion.users), ("accounts", promotion.accounts)):
        assert {collection} >= {identifier.collection for identifier in side}
        assert len(side) == len(set(side))
        ranks = [rules.rank(identifier.type) for identifier in side]
        assert sorted(ranks) == ranks
        for identifier in side:
            assert (identifier.value, None) == rules.verdict(identifier.type, identifier.value)
    for drop in promotion.drops:
        assert drop.reason in {DropReason.BLOCKED, DropReason.INVALID_VALUE}
        assert len(drop.value.encode()) <= 4 * 256


def as_struct(value: object) -> object:
    """A value as a protobuf Struct gives it back: every number a double."""
    if isinstance(value, dict):
        return {key: as_struct(child) for key, child in value.items()}
    if isinstance(value, list):
        return [as_struct(child) for child in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return value


@quick
@given(events)
def test_struct_and_json_give_the_same_identifiers(event: ClientEvent) -> None:
    """5 of JSON and 5.0 of a Struct are one identifier."""
    rules = Rules.from_document({"identifiers": [{"type": "phone", "custom": True}]}, 1)
    fields: dict[str, Any] = {
        name: as_struct(getattr(event, name)) for name in event.__struct_fields__
    }

    assert promote(event, rules) == promote(ClientEvent(**fields), rules)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Candidate], dict[Any, ProfileView], int]:
    """An event's candidates, the profiles of some of them, and the event's time."""
    near = st.integers(NOW_US - 200_000_000, NOW_US + 200_000_000)
    pool = draw(st.lists(st.tuples(st.sampled_from(TYPES), st.integers(0, 5)), unique=True))
    homes = {member: draw(st.integers(0, 4)) for member in pool}  # 0 is nobody's
    owner: dict[Any, ProfileView] = {}
    for number in range(1, 5):
        owned = [Owned(m, m[0], draw(near)) for m in pool if homes[m] == number]
        view = ProfileView(
            number, (draw(st.integers(0, 3)), number), draw(st.integers(0, 3)), owned
        )
        owner |= {identifier.member: view for identifier in owned}
    chosen = draw(
        st.lists(
            st.tuples(st.sampled_from(TYPES), st.integers(0, 5)),
            min_size=1, max_size=6, unique=True,
        )
    )  # fmt: skip
    return [Candidate(member, member[0]) for member in chosen], owner, draw(near)


small_rules = st.builds(
    lambda limit, window, identifiers, merges: Rules.from_document(
        {
            "identifiers": [{"type": "user_id"}, {"type": "email", "limit": 2}],
            "others": {"limit": limit, "window": window},
            "caps": {"identifiers": identifiers, "merges": merges},
        },
        1,
    ),
    st.one_of(st.none(), st.integers(0, 3)),
    st.sampled_from(["ever", WINDOW_SECONDS]),
    st.integers(1, 9),
    st.integers(0, 9),
)


def counts_in_window(
    identifiers: list[tuple[str, int]], rules: Rules, time_us: int
) -> Counter[str]:
    """How many of each type count at this time, given their types and link times."""
    counted: Counter[str] = Counter()
    for type_name, link_us in identifiers:
        limit = rules.limit(type_name)
        if limit is None or limit.window_us is None or abs(link_us - time_us) < limit.window_us:
            counted[type_name] += 1
    return counted


def joined_profiles(
    resolution: Resolution, candidates: list[Candidate], owner: dict[Any, ProfileView]
) -> tuple[list[ProfileView], set[Any]]:
    """The profiles that a resolution joins, and all members of the result."""
    ids = {resolution.survivor, *resolution.absorbed}
    views = {view.id: view for view in owner.values() if view.id in ids}
    members = {owned.member for view in views.values() for owned in view.identifiers}
    return list(views.values()), members | {candidates[index].member for index in resolution.kept}


@quick
@given(situations(), small_rules)
def test_a_resolution_accounts_for_every_candidate(
    situation: tuple[list[Candidate], dict[Any, ProfileView], int], rules: Rules
) -> None:
    """Each is kept, dropped or unharmed; the anchor is kept and decides the profile."""
    candidates, owner, time_us = situation
    resolution = resolve(candidates, owner, rules, time_us)
    dropped = [index for index, _ in resolution.dropped]
    views, members = joined_profiles(resolution, candidates, owner)

    assert 0 == resolution.kept[0]
    assert list(range(len(candidates))) == sorted(
        [*resolution.kept, *dropped, *resolution.unharmed]
    )
    assert {candidates[index].member for index in resolution.unharmed} <= members
    assert not {candidates[index].member for index in dropped} & members
    assert resolution.new == tuple(
        index for index in resolution.kept if candidates[index].member not in owner
    )
    anchor = owner.get(candidates[0].member)
    if anchor is not None:
        assert anchor.id in {resolution.survivor, *resolution.absorbed}
    assert (resolution.outcome is Outcome.MERGED) == bool(resolution.absorbed)
    assert (resolution.outcome is Outcome.CREATED) == (not views)
    if views:
        assert resolution.survivor == min(views, key=lambda view: view.created).id


@quick
@given(situations(), small_rules)
def test_no_decision_breaks_what_held_before(
    situation: tuple[list[Candidate], dict[Any, ProfileView], int], rules: Rules
) -> None:
    """No count, size or number of merges rises above both its limit and what one side had."""
    candidates, owner, time_us = situation
    resolution = resolve(candidates, owner, rules, time_us)
    views, _ = joined_profiles(resolution, candidates, owner)
    each = [[(owned.type, owned.link_time_us) for owned in view.identifiers] for view in views]
    new = [(candidates[index].type, time_us) for index in resolution.new]
    union = [entry for entries in each for entry in entries] + new
    before = [counts_in_window(entries, rules, time_us) for entries in each]
    if len(candidates) == 1 or resolution.kept == (0,):
        return  # a single identifier always resolves

    for type_name, count in counts_in_window(union, rules, time_us).items():
        limit = rules.limit(type_name)
        had = max((counts[type_name] for counts in before), default=0)
        assert limit is None or count <= max(limit.count, had)
    assert len(union) <= max(rules.identifiers_max, *map(len, each), 0)
    if len(views) > 1:
        assert resolution.merges <= rules.merges_max


@quick
@given(situations())
def test_without_limits_order_does_not_matter(
    situation: tuple[list[Candidate], dict[Any, ProfileView], int],
) -> None:
    """Nothing is dropped, and every order behind the anchor joins the same members."""
    candidates, owner, time_us = situation
    rules = Rules.from_document({"identifiers": [], "others": {"limit": None}}, 1)
    anchor, *rest = candidates[:4]
    results = set()
    for order in permutations(rest):
        event = [anchor, *order]
        resolution = resolve(event, owner, rules, time_us)
        assert () == resolution.dropped
        assert () == resolution.unharmed
        _, members = joined_profiles(resolution, event, owner)
        results.add((resolution.survivor, resolution.merges, frozenset(members)))

    assert 1 == len(results)


cells = st.dictionaries(
    st.sampled_from("ab"),
    st.builds(
        TraitCell,
        value_json=st.sampled_from([b"null", b"1", b"2"]),
        time_us=st.integers(0, 2),
        message_id=st.sampled_from("mn"),
        source=st.integers(0, 1),
    ),
)


def join(*parts: dict[str, TraitCell]) -> dict[str, TraitCell]:
    """Joins cells from left to right."""
    into: dict[str, TraitCell] = {}
    for part in parts:
        merge_traits(into, part)
    return into


@quick
@given(cells, cells, cells)
def test_traits_join_in_any_order_and_number(
    first: dict[str, TraitCell], second: dict[str, TraitCell], third: dict[str, TraitCell]
) -> None:
    """The join of traits is commutative, associative and idempotent."""
    assert join(first, second) == join(second, first)
    assert join(join(first, second), third) == join(first, join(second, third))
    assert join(first, second) == join(first, second, first, second)
