"""The Profile API of a running service: written over one edge, read over the other."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from unify_client import Identifier, UnifyClient

from tests.integration.administering import Administering
from tests.integration.service import ADMIN_TOKEN, Service
from tests.integration.waiting import eventually
from unify_grpc._pb.unify.v1 import space_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

VALUES = ["+15555550123", "a/b", "ü ñ", "100% & more?#", "a:b", "..", "a+b c", '"quoted"', "\\"]


class Space:
    """A new space of a service, with callers over HTTP."""

    def __init__(self, service: Service) -> None:
        self.service = service
        with Administering(service.address, ADMIN_TOKEN) as admin:
            made = admin("CreateSpace", name=f"space {uuid.uuid4()}")
            self.space_id, self.name = made.space.space_id, made.space.name
            self.token = made.access_token
            scopes = [space_pb2.SCOPE_READ, space_pb2.SCOPE_PII, space_pb2.SCOPE_DELETE]
            self.deleter = admin(
                "CreateAccessToken", space=self.space_id, name="deleter", scopes=scopes
            ).secret
        self._writing = httpx.Client(
            base_url=service.http_url, auth=(made.write_key, ""), timeout=30
        )
        self._reading = httpx.Client(
            base_url=service.http_url, auth=(made.access_token, ""), timeout=30
        )

    def close(self) -> None:
        """Closes its connections."""
        self._writing.close()
        self._reading.close()

    def send(self, *messages: dict[str, Any]) -> None:
        """Sends messages in one batch; they are resolved then."""
        answer = self._writing.post("/v1/batch", json={"batch": list(messages)})
        assert 200 == answer.status_code, answer.text

    def get(self, profile: str, rest: str, **params: Any) -> httpx.Response:
        """Reads something of a user's profile."""
        path = f"/v1/spaces/{self.space_id}/collections/users/profiles/{profile}/{rest}"
        return self._reading.get(path, params=params or None)


@pytest.fixture
def space(service: Service) -> Iterator[Space]:
    """A space of its own."""
    made = Space(service)
    yield made
    made.close()


def identify(user: str, **fields: Any) -> dict[str, Any]:
    """Returns an identify call."""
    return {"type": "identify", "userId": user, "messageId": uuid.uuid4().hex, **fields}


def test_what_is_written_is_read_at_once(space: Space) -> None:
    """200 of a write is the moment from which every read shows it, over either edge."""
    for number in range(10):
        space.send(identify("u", traits={"number": number, "email": "u@example.com"}))
        answer = space.get("email:u@example.com", "traits")
        assert number == answer.json()["traits"]["number"]
    with UnifyClient(space.service.address, key=space.token) as client:
        profile = client.get_profile(Identifier("users", "user_id", "u"))

    answer = space.get(profile.segment_id, "traits")
    assert {each.name: each.value for each in profile.traits} == answer.json()["traits"]
    assert answer.json()["cursor"]["url"].endswith(f"{profile.segment_id}/traits")


@pytest.mark.parametrize("value", VALUES)
def test_any_character_may_be_in_a_value(space: Space, value: str) -> None:
    """Percent-encoded as a whole it is found through a real server."""
    space.send(identify(value, traits={"found": True}))
    encoded = "".join(f"%{byte:02X}" for byte in value.encode())

    answer = space.get(f"user_id:{encoded}", "external_ids")

    assert 200 == answer.status_code
    assert [value] == [each["id"] for each in answer.json()["data"]]


def test_a_plus_is_a_plus(space: Space) -> None:
    """In a path it needs no encoding."""
    space.send(identify("+1"))

    assert 200 == space.get("user_id:+1", "traits").status_code
    assert 404 == space.get("user_id:%201", "traits").status_code


def test_events_are_paged_through(space: Space) -> None:
    """All of them, each once, by the cursor's own path, however old they are."""
    old = [f"20{year:02}-01-01T00:00:00Z" for year in range(45)][:25]
    tracks = [
        {"type": "track", "event": "E", "userId": "u", "messageId": f"m{at}", "timestamp": time}
        for at, time in enumerate(old)
    ]
    space.send(*tracks)
    found: list[str] = []
    answer = space.get("user_id:u", "events", sort="asc", limit=10).json()
    while True:
        found += [each["message_id"] for each in answer["data"]]
        if not answer["cursor"]["has_more"]:
            break
        more = {"sort": "asc", "limit": 10, "next": answer["cursor"]["next"]}
        answer = space._reading.get(answer["cursor"]["url"], params=more).json()

    assert [f"m{at}" for at in range(25)] == found


def test_an_identifier_is_deleted(space: Space) -> None:
    """It is found no more over either edge, and the rest of the profile is."""
    space.send(identify("u", traits={"email": "u@example.com"}))
    path = f"/v1/spaces/{space.space_id}/collections/users/profiles/user_id:u/external_ids/delete"
    body = {"delete_external_ids": [{"type": "email", "id": "u@example.com"}]}
    url = space.service.http_url + path

    assert 403 == httpx.post(url, json=body, auth=(space.token, "")).status_code
    assert 200 == httpx.post(url, json=body, auth=(space.deleter, "")).status_code
    assert 404 == space.get("email:u@example.com", "traits").status_code
    left = space.get("user_id:u", "external_ids").json()["data"]
    assert ["u"] == [each["id"] for each in left]
    again = httpx.post(url, json=body, auth=(space.deleter, ""))
    assert (404, "eid_not_found") == (again.status_code, again.json()["error"]["code"])


def test_a_space_goes_by_its_name_too(space: Space) -> None:
    """And an admin token reads any."""
    space.send(identify("u"))
    quoted = space.name.replace(" ", "%20")
    for auth in (space.token, ADMIN_TOKEN):
        path = f"/v1/spaces/{quoted}/collections/users/profiles/user_id:u/metadata"
        assert 200 == httpx.get(space.service.http_url + path, auth=(auth, "")).status_code


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of two gateways, each of which lets one read a second of a space through."""
    data_dir = tmp_path_factory.mktemp("limited") / "data"
    with Service(data_dir, "--gateways", "2", space_reads_per_s=2) as running:
        yield running


def apart(space: Space, **params: Any) -> httpx.Response:
    """Reads traits over a connection of its own, which may lead to any gateway."""
    path = f"/v1/spaces/{space.space_id}/collections/users/profiles/user_id:u/traits"
    return httpx.get(space.service.http_url + path, params=params, auth=(space.token, ""))


def test_a_flood_is_refused_and_harms_no_other_space(limited: Service) -> None:
    """One space is told 429 and when to come again, while another is answered."""
    loud, quiet = Space(limited), Space(limited)
    loud.send(identify("u"))
    quiet.send(identify("u"))
    answers = [apart(loud) for _ in range(60)]
    other = apart(quiet)
    loud.close()
    quiet.close()

    refused = [each for each in answers if each.status_code != 200]
    assert len(refused) > 20
    assert {429} == {each.status_code for each in refused}
    assert {"rate_limit_error"} == {each.json()["error"]["code"] for each in refused}
    assert {"1"} == {each.headers["retry-after"] for each in refused}
    assert 200 == other.status_code
    assert "1" == other.headers["x-ratelimit-limit"]


def test_a_cursor_is_good_on_every_gateway(limited: Service) -> None:
    """A list goes on wherever its next page is asked for."""
    space = Space(limited)
    space.send(identify("u", traits={f"t{at:02}": at for at in range(40)}))
    found: list[str] = []
    pages: list[httpx.Response] = []
    params: dict[str, Any] = {"limit": 5}

    def is_let_through() -> bool:
        pages.append(apart(space, **params))
        return pages[-1].status_code != 429

    while params.get("next", "first"):
        eventually(is_let_through, "the limit lets a call through")
        content = pages[-1].json()
        found += list(content["traits"])
        params["next"] = content["cursor"]["next"]
    space.close()

    assert [f"t{at:02}" for at in range(40)] == found
