"""The people of a workload: their devices, and what they do next.

A visitor is anonymous on each device at first. Most sign up after a while, with a user id and a
mail address, and sign in on each further device after some anonymous visits there, which merges
two profiles. Some sign in on somebody else's device, which the service must keep apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from bench.ledger import EMAIL, USER_ID, Name

if TYPE_CHECKING:
    from random import Random

SIGN_UP_SHARE: Final = 0.7
MOBILE_SHARE: Final = 0.35
BORROWER_SHARE: Final = 0.05
"""Of people who also use a device of the person before them."""
MAIN_DEVICE_SHARE: Final = 0.65
IDENTIFY_SHARE: Final = 0.04
SERVER_SHARE: Final = 0.06
"""Of a member's events that a server sends, which knows the user id alone."""
SIGNED_OUT_SHARE: Final = 0.22
BORROWING_SHARE: Final = 0.06
MOBILE_PLATFORMS: Final = ("android", "ios")


class Habits(NamedTuple):
    """What kind of people arrive."""

    devices_shares: tuple[float, float, float]
    """Of people with one, two and three devices."""
    visits_before_max: int
    """On a device, before its owner signs in there."""


USUAL: Final = Habits((0.55, 0.3, 0.15), 4)
HURRIED: Final = Habits((0.2, 0.4, 0.4), 1)
"""They have more devices, and sign in on each after one visit: so much as can be is novel."""


class Device:
    """A browser or telephone."""

    __slots__ = ("anonymous", "context", "hardware", "is_signed_in", "platform", "visits_left")

    def __init__(self, random: Random, label: str, habits: Habits = USUAL) -> None:
        """Draws a device; `label` is unique in the workload."""
        self.anonymous = Name("anonymous_id", f"a{random.getrandbits(64):016x}-{label}")
        self.platform = (
            random.choice(MOBILE_PLATFORMS) if random.random() < MOBILE_SHARE else "browser"
        )
        self.hardware = (
            None
            if self.platform == "browser"
            else Name(f"{self.platform}.id", f"{random.getrandbits(96):024x}")
        )
        self.visits_left = random.randint(1, habits.visits_before_max)
        self.is_signed_in = False
        self.context = b""
        """As JSON; whoever writes events fills it once."""

    def names(self) -> list[Name]:
        """Returns what every event on the device carries."""
        return [self.anonymous] if self.hardware is None else [self.anonymous, self.hardware]


class Action:
    """What a person does at one moment."""

    __slots__ = ("device", "is_identify", "names")

    def __init__(self, names: list[Name], device: Device | None, *, is_identify: bool) -> None:
        """Takes the identifiers it shows; `device` is None for what a server does."""
        self.names = names
        self.device = device
        self.is_identify = is_identify


class Person:
    """Somebody who visits, and perhaps becomes a member."""

    __slots__ = ("_borrowed", "_devices", "_email", "_is_member", "_user", "_will_sign_up")

    def __init__(
        self, random: Random, label: str, neighbour: Person | None, habits: Habits = USUAL
    ) -> None:
        """Draws a person; `neighbour` may lend a device."""
        count = random.choices((1, 2, 3), habits.devices_shares)[0]
        self._devices = [Device(random, f"{label}-{each}", habits) for each in range(count)]
        self._user = Name(USER_ID, f"u-{label}-{random.getrandbits(32):08x}")
        self._email = Name(EMAIL, f"member.{label}@example.com")
        self._will_sign_up = random.random() < SIGN_UP_SHARE
        self._is_member = False
        borrows = random.random() < BORROWER_SHARE
        self._borrowed = neighbour.main_device if borrows and neighbour else None

    @property
    def main_device(self) -> Device:
        """The device that a neighbour may use too."""
        return self._devices[0]

    def act(self, random: Random) -> Action:
        """Returns what the person does next."""
        device = self._devices[0]
        if len(self._devices) > 1 and random.random() > MAIN_DEVICE_SHARE:
            device = random.choice(self._devices[1:])
        if not device.is_signed_in:
            if device.visits_left or not self._will_sign_up:
                device.visits_left = max(0, device.visits_left - 1)
                return Action(device.names(), device, is_identify=False)
            device.is_signed_in = self._is_member = True
            return self._identify(device)
        kind = random.random()
        if kind < IDENTIFY_SHARE:
            return self._identify(device)
        kind -= IDENTIFY_SHARE
        if kind < SERVER_SHARE:
            return Action([self._user], None, is_identify=False)
        kind -= SERVER_SHARE
        if kind < SIGNED_OUT_SHARE:
            return Action(device.names(), device, is_identify=False)
        kind -= SIGNED_OUT_SHARE
        borrowed = self._borrowed
        if kind < BORROWING_SHARE and borrowed is not None and borrowed.is_signed_in:
            return Action([self._user, *borrowed.names()], borrowed, is_identify=False)
        return Action([self._user, *device.names()], device, is_identify=False)

    def _identify(self, device: Device) -> Action:
        return Action([self._user, self._email, *device.names()], device, is_identify=True)
