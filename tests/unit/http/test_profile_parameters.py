"""Parameters of the Profile API: defaults, bounds, filters, pages; and what is none of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.http.profile_edge import ProfileEdge, error, identify, track

TRAITS = {f"t{number:03}": number for number in range(250)}
TIMES = [f"2023-01-0{day}T00:00:00Z" for day in range(1, 6)]


@pytest.fixture(scope="module")
def edge() -> ProfileEdge:
    """A person with more of everything than any page holds, whom tests only read."""
    return asyncio.run(crowded())


async def crowded() -> ProfileEdge:
    """Makes that person."""
    made = ProfileEdge(space_reads_per_s=0)
    await made.open(
        identify("u", traits=TRAITS),
        *(track("u", f"E{number}", timestamp=time) for number, time in enumerate(TIMES)),
        {"type": "page", "userId": "u", "timestamp": "2023-01-06T00:00:00Z"},
    )
    service = made.backend.service
    service.set_rules({"others": {"limit": None}})
    for number in range(30):
        service.send(identify("u", anonymousId=f"a{number:02}", messageId=f"a{number}"))
        group = {
            "type": "group",
            "userId": "u",
            "groupId": f"g{number:02}",
            "messageId": f"g{number}",
        }
        service.send({**group, "timestamp": f"2023-02-01T00:00:{number:02}Z"})
    for number in range(110):
        service.send(track("u", "Many", messageId=f"e{number}", timestamp="2022-01-01T00:00:00Z"))
    return made


def size(content: dict[str, Any]) -> int:
    """Returns how many a page holds."""
    return len(content["traits"] if "traits" in content else content["data"])


@pytest.mark.parametrize(
    ("rest", "default", "maximum"),
    [("traits", 10, 200), ("external_ids", 10, 25), ("events", 10, 100), ("links", 10, 20)],
)
async def test_pages_have_a_default_and_a_maximum(
    edge: ProfileEdge, rest: str, default: int, maximum: int
) -> None:
    """A limit above the maximum is the maximum, and the cursor says which limit held."""
    path = f"users/profiles/user_id:u/{rest}"
    for given, expected in [
        ("", default),
        ("1", 1),
        ("007", 7),
        (str(maximum), maximum),
        (str(maximum + 1), maximum),
        ("9" * 5000, maximum),
    ]:
        page = (await edge.get(path, limit=given)).json()
        assert expected == size(page)
        assert expected == page["cursor"]["limit"]
        assert page["cursor"]["has_more"]


@pytest.mark.parametrize("rest", ["traits", "external_ids", "events", "links"])
@pytest.mark.parametrize("limit", ["0", "00", "-1", "1.5", "ten", "1e2", "٣", "0x10"])
async def test_what_is_no_limit_is_refused(edge: ProfileEdge, rest: str, limit: str) -> None:
    """By name, without repeating what was sent."""
    answer = await edge.get(f"users/profiles/user_id:u/{rest}", limit=limit)

    assert (400, "validation_error") == error(answer)
    assert (
        "The parameter `limit` is not a whole number above 0" == answer.json()["error"]["message"]
    )


@pytest.mark.parametrize(
    ("rest", "limit", "count"),
    [
        ("traits", 200, 250),
        ("traits?verbose=true", 60, 250),
        ("external_ids", 7, 31),
        ("events", 50, 116),
        ("events?sort=asc&include=Many", 50, 110),
        ("links", 20, 30),
    ],
)
@pytest.mark.parametrize("follows_url", [False, True])
async def test_pages_make_up_the_whole(
    edge: ProfileEdge, rest: str, limit: int, count: int, *, follows_url: bool
) -> None:
    """Each once, in one order, by the path as asked or by the cursor's own."""
    rest, _, query = rest.partition("?")
    params: dict[str, Any] = dict(each.split("=") for each in query.split("&")) if query else {}
    path, found, pages = f"users/profiles/user_id:u/{rest}", [], 0
    while True:
        page = (await edge.get(path, **params, limit=limit)).json()
        pages += 1
        if "traits" in page:
            found += list(page["traits"])
        else:
            found += [each.get("message_id") or _ids(each) for each in page["data"]]
        if not page["cursor"]["has_more"]:
            break
        params["next"] = page["cursor"]["next"]
        path = page["cursor"]["url"] if follows_url else path

    assert count == len(found) == len(set(found))
    assert -(-count // limit) == pages
    assert "" == page["cursor"]["next"]


def _ids(each: dict[str, Any]) -> str:
    return str(each.get("id") or [one["id"] for one in each["external_ids"]])


@pytest.mark.parametrize("follows_url", [False, True])
async def test_a_cursor_outlives_a_merge(*, follows_url: bool) -> None:
    """Whichever path it is used with, the list goes on where it was."""
    edge = ProfileEdge()
    await edge.open(identify("u", anonymousId="a00", traits=TRAITS))
    service = edge.backend.service
    service.set_rules({"identifiers": [{"type": "user_id", "limit": 5}]})
    service.send(identify("late", traits={"t100": 1, "t101": 1, "zz": 1}, messageId="late"))
    page = (await edge.get("users/profiles/user_id:late/traits", limit=1)).json()
    service.send(identify("late", anonymousId="a00", messageId="join"))
    path = page["cursor"]["url"] if follows_url else "users/profiles/user_id:late/traits"
    after = (await edge.get(path, limit=2, next=page["cursor"]["next"])).json()

    assert ["t100"] == list(page["traits"])
    assert ["t101", "t102"] == list(after["traits"])


@pytest.mark.parametrize(
    ("resource", "params"),
    [
        ("traits", {"verbose": "true"}),
        ("traits", {"verbose": "false"}),
        ("events", {"sort": "desc"}),
    ],
)
async def test_a_cursor_is_good_with_what_says_the_same(
    edge: ProfileEdge, resource: str, params: dict[str, str]
) -> None:
    """A default that is named, or how much is shown of a trait, changes no list."""
    path = f"users/profiles/user_id:u/{resource}"
    given = (await edge.get(path, limit=1)).json()["cursor"]["next"]

    assert given
    assert 200 == (await edge.get(path, limit=1, next=given, **params)).status_code


async def test_a_cursor_is_of_its_list_filters_and_space(edge: ProfileEdge) -> None:
    """Anything else that is given as one is refused."""
    path = "users/profiles/user_id:u"
    given = (await edge.get(f"{path}/traits")).json()["cursor"]["next"]

    for rest, params in [
        ("external_ids", {}),
        ("events", {}),
        ("links", {}),
        ("traits", {"include": "t001"}),
    ]:
        answer = await edge.get(f"{path}/{rest}", next=given, **params)
        assert (400, "validation_error") == error(answer)
        assert "`next`" in answer.json()["error"]["message"]
    elsewhere = f"/v1/spaces/two/collections/{path}/traits"
    answer = await edge.get(elsewhere, "token-two", next=given)
    assert (400, "validation_error") == error(answer)
    for damaged in (given[:-1], given + "A", "AAAA", "é", "?", "x" * 60_000):
        assert (400, "validation_error") == error(await edge.get(f"{path}/traits", next=damaged))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("include=t001,t003", ["t001", "t003"]),
        ("include=t003%2Ct001", ["t001", "t003"]),
        ("include=t001&include=t002", ["t001", "t002"]),
        ("include=t001,%20t002,,nobody", ["t001", "t002"]),
        ("include=nobody", []),
        ("class=audience", []),
        ("class=computed_trait", []),
        ("class=&limit=1&include=", ["t000"]),
        ("limit=1&unknown=1", ["t000"]),
    ],
)
async def test_traits_are_narrowed(edge: ProfileEdge, query: str, names: list[str]) -> None:
    """By name; of a class there are none."""
    answer = await edge.get(f"users/profiles/user_id:u/traits?{query}")

    assert names == list(answer.json()["traits"])


async def test_identifiers_are_narrowed_by_type(edge: ProfileEdge) -> None:
    """One that the profile has none of is left out."""
    answer = await edge.get("users/profiles/user_id:u/external_ids?include=user_id,email")

    assert ["u"] == [each["id"] for each in answer.json()["data"]]


@pytest.mark.parametrize(
    ("query", "events"),
    [
        ("limit=3", ["Page Viewed", "E4", "E3"]),
        ("limit=3&sort=desc", ["Page Viewed", "E4", "E3"]),
        ("sort=asc&exclude=Many&limit=2", ["E0", "E1"]),
        ("sort=ASC&exclude=Many&limit=2", ["E0", "E1"]),
        ("include=E1,E3", ["E3", "E1"]),
        ("include=E1,E3&exclude=E3", ["E1"]),
        ("include=Page+Viewed", ["Page Viewed"]),
        ("include=Page%20Viewed", ["Page Viewed"]),
        ("start=2023-01-04T00:00:00Z", ["Page Viewed", "E4"]),
        ("start=2023-01-04", ["Page Viewed", "E4"]),
        ("start=2023-01-04T02:00:00%2B02:00", ["Page Viewed", "E4"]),
        ("start=2023-01-04T02:00:00+02:00", ["Page Viewed", "E4"]),
        ("start=2023-01-04+00:00:00", ["Page Viewed", "E4"]),
        ("start=2023-01-03t23:59:59.999999z", ["Page Viewed", "E4", "E3"]),
        ("start=2023-01-01&end=2023-01-04", ["E2", "E1"]),
        ("end=2023-01-02&exclude=Many", ["E0"]),
        ("start=2023-01-04&end=2023-01-04", []),
        ("start=0001-01-01T00:00:00-23:00&end=2023-01-02&include=E0", ["E0"]),
    ],
)
async def test_events_are_narrowed_and_ordered(
    edge: ProfileEdge, query: str, events: list[str]
) -> None:
    """By name, after `start` and before `end`, however long ago they happened."""
    answer = await edge.get(f"users/profiles/user_id:u/events?{query}")

    assert 200 == answer.status_code
    assert events == [each["event"] for each in answer.json()["data"]]


@pytest.mark.parametrize(
    ("rest", "parameter"),
    [
        ("traits?class=everything", "class"),
        ("traits?verbose=yes", "verbose"),
        ("external_ids?verbose=1", "verbose"),
        ("metadata?verbose=maybe", "verbose"),
        ("events?sort=newest", "sort"),
        ("events?start=yesterday", "start"),
        ("events?end=2023-13-01", "end"),
        ("events?start=0001-01-01T00:00:00%2B23:00", "start"),
        ("events?end=" + "1" * 100, "end"),
        ("traits?include=" + ",".join(map(str, range(201))), "include"),
        ("events?exclude=" + ",".join(map(str, range(101))), "exclude"),
    ],
)
async def test_what_a_parameter_cannot_be_is_refused(
    edge: ProfileEdge, rest: str, parameter: str
) -> None:
    """By the name that the caller gave it."""
    answer = await edge.get(f"users/profiles/user_id:u/{rest}")

    assert (400, "validation_error") == error(answer)
    assert f"The parameter `{parameter}` " in answer.json()["error"]["message"]


async def test_all_faults_are_told_at_once(edge: ProfileEdge) -> None:
    """Whoever mends a call does so once."""
    answer = await edge.get("users/profiles/user_id:u/events?limit=0&sort=x&start=y&end=z")

    message = answer.json()["error"]["message"]
    assert ["`limit`", "`start`", "`end`", "`sort`"] == [
        word for word in message.split() if word.startswith("`")
    ]
