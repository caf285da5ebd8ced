"""Strategies for messages and rules in which few identifiers meet often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

Message = dict[str, Any]

UNLIMITED: dict[str, Any] = {
    "identifiers": [{"type": "user_id", "limit": None}, {"type": "email", "limit": None}],
    "others": {"limit": None},
}
"""Rules under which nothing is ever dropped."""

NAMES = ("a", "b", "c", "d")
HOURS = 24 * 4


def tight_rules() -> st.SearchStrategy[dict[str, Any]]:
    """Rules that drop: few of each type, some in a window, low caps."""
    limit = st.fixed_dictionaries(
        {
            "limit": st.sampled_from([None, 1, 1, 2, 3]),
            "window": st.sampled_from(["ever", "ever", "daily", 6 * 3600]),
        }
    )
    entry = st.sampled_from(["user_id", "email", "anonymous_id", "phone"]).flatmap(
        lambda type_: limit.map(
            lambda chosen: {"type": type_, **chosen, "custom": type_ == "phone"}
        )
    )
    return st.fixed_dictionaries(
        {
            "identifiers": st.lists(entry, unique_by=lambda each: str(each["type"])),
            "others": limit,
            "caps": st.fixed_dictionaries(
                {
                    "identifiers": st.sampled_from([3, 6, 1000]),
                    "merges": st.sampled_from([0, 1, 100]),
                }
            ),
            "alias_links": st.sampled_from([None, None, "anonymous_id", "user_id"]),
        }
    )


@st.composite
def messages(
    draw: st.DrawFn, *, size_max: int = 20, calls: Sequence[str] = ("identify", "track")
) -> list[Message]:
    """Messages with message ids of their own, in the order in which they are sent."""
    count = draw(st.integers(1, size_max))
    return [_message(draw, number, calls) for number in range(count)]


def _message(draw: st.DrawFn, number: int, calls: Sequence[str]) -> Message:
    call = draw(st.sampled_from(calls))
    name = st.sampled_from(NAMES)
    hour = draw(st.integers(0, HOURS - 1))
    message: Message = {
        "type": call,
        "messageId": f"m{number}",
        "timestamp": f"2024-01-{1 + hour // 24:02d}T{hour % 24:02d}:00:00Z",
    }
    if call == "alias":
        return message | {"userId": "u" + draw(name), "previousId": "a" + draw(name)}
    places = draw(st.sets(st.sampled_from(["userId", "anonymousId", "email", "phone"]), min_size=1))
    if "userId" in places:
        message["userId"] = "u" + draw(name)
    if "anonymousId" in places:
        message["anonymousId"] = "a" + draw(name)
    values: dict[str, Any] = {}
    if "email" in places:
        values["email"] = draw(name) + "@example.com"
    if "phone" in places:
        values["phone"] = "p" + draw(name)
    if call == "track":
        message["event"] = "Seen"
        message["properties"] = values
    elif call == "group":
        message["groupId"] = "g" + draw(name)
        message["context"] = {"traits": values}
        message["traits"] = {"size": draw(st.integers(0, 3))}
    else:
        trait = st.one_of(st.none(), st.integers(0, 3))
        values |= draw(st.dictionaries(st.sampled_from(["plan", "city"]), trait))
        message["traits"] = values
    return message


def identifiers_of(message: Message) -> list[str]:
    """Returns a message's user identifiers as `type:value`, under rules that know `phone`."""
    listed = []
    values = {**(message.get("properties") or {})}
    if message["type"] == "identify":
        values |= message.get("traits") or {}
    values |= (message.get("context") or {}).get("traits") or {}
    for type_, value in (
        ("user_id", message.get("userId")),
        ("anonymous_id", message.get("anonymousId")),
        ("email", values.get("email")),
        ("phone", values.get("phone")),
    ):
        if value is not None:
            listed.append(f"{type_}:{value}")
    return listed
