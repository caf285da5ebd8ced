"""What a path of the Profile API names, whatever characters are in it."""

from __future__ import annotations

import pytest

from unify_grpc.http.profile_paths import NoRouteError, PathInvalidError, ProfilePath, read_path

START = "/v1/spaces/spa_1/collections/users/profiles"


def read(path: str) -> ProfilePath:
    """Reads a path as it is sent."""
    return read_path({"raw_path": path.encode(), "path": ""})


@pytest.mark.parametrize(
    ("sent", "profile"),
    [
        ("user_id:u1", "user_id:u1"),
        ("phone_number:%2B5555550123", "phone_number:+5555550123"),
        ("phone_number:+5555550123", "phone_number:+5555550123"),
        ("email:a%40example.com", "email:a@example.com"),
        ("email:a@example.com", "email:a@example.com"),
        ("user_id%3Aa%3Ab", "user_id:a:b"),
        ("user_id:a%2Fb", "user_id:a/b"),
        ("user_id:a/b", "user_id:a/b"),
        ("user_id:a%2Ftraits", "user_id:a/traits"),
        ("user_id:http%3A%2F%2Fx%2F", "user_id:http://x/"),
        ("user_id:%C3%A9%20%25%3F%23", "user_id:é %?#"),
        ("user_id:50%", "user_id:50%"),
        ("user_id:..", "user_id:.."),
        ("user_id:", "user_id:"),
        ("", ""),
        ("use_1", "use_1"),
    ],
)
def test_a_profile_is_named_by_its_characters(sent: str, profile: str) -> None:
    """Percent-encoded or not, and a `+` is no blank."""
    assert ProfilePath("spa_1", "users", profile, "traits") == read(f"{START}/{sent}/traits")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "/v1/spaces/my%20space/collections/accounts/profiles/group_id:g/links",
            ProfilePath("my space", "accounts", "group_id:g", "links"),
        ),
        (f"{START}/use_1/events/", ProfilePath("spa_1", "users", "use_1", "events")),
        (
            "/v1/namespaces/spa_1/collections/users/profiles/use_1/metadata",
            ProfilePath("spa_1", "users", "use_1", "metadata"),
        ),
        (
            f"{START}/user_id:u/external_ids",
            ProfilePath("spa_1", "users", "user_id:u", "external_ids"),
        ),
        (
            f"{START}/user_id:u/external_ids/delete",
            ProfilePath("spa_1", "users", "user_id:u", "external_ids/delete"),
        ),
        (
            "/v1/spaces/s/collections/users%21/profiles/use_1/traits",
            ProfilePath("s", "users!", "use_1", "traits"),
        ),
    ],
)
def test_everything_that_is_named_is_read(path: str, expected: ProfilePath) -> None:
    """Spaces by id or name, both collections, every resource, and the older word for spaces."""
    assert expected == read(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/spaces/",
        "/v1/spaces/s/collections/users/profiles",
        f"{START}/traits",
        f"{START}/use_1",
        f"{START}/use_1/delete",
        f"{START}/use_1/audiences",
        f"{START}/external_ids/delete",
        "/v1/spaces/s/collection/users/profiles/use_1/traits",
        "/v1/spaces/s/collections/users/profile/use_1/traits",
        "/v2/spaces/s/collections/users/profiles/use_1/traits",
        "/v1/rooms/s/collections/users/profiles/use_1/traits",
        "/v1/spaces/s%2Fcollections%2Fusers%2Fprofiles%2Fuse_1%2Ftraits",
    ],
)
def test_other_paths_are_no_route(path: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(NoRouteError):
        read(path)


def test_what_is_no_utf_8_is_refused() -> None:
    """It is not passed on with something else in its place."""
    with pytest.raises(PathInvalidError):
        read(f"{START}/user_id:%FF/traits")


def test_a_server_that_decodes_paths_is_understood() -> None:
    """Where there is no path as it was sent, the decoded one is all there is."""
    scope = {"path": f"{START}/user_id:a%b é/traits"}

    assert "user_id:a%b é" == read_path(scope).profile
