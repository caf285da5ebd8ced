"""How a client connects and how patient it is: small frozen settings with their units."""

from __future__ import annotations

from dataclasses import dataclass

from unify_client.errors import ArgumentInvalid

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
"""What the service takes in one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """How a connection is encrypted. All keys and certificates are PEM bytes."""

    root_certificates: bytes | None = None
    """Whom the client trusts to vouch for the service; None: the authorities of gRPC."""
    private_key: bytes | None = None
    """The client's own key, where the service asks for one; goes with `certificate_chain`."""
    certificate_chain: bytes | None = None
    """The client's own certificate; goes with `private_key`."""
    server_name: str | None = None
    """The name that the service's certificate bears where that is not the address's."""

    def __post_init__(self) -> None:
        if (self.private_key is None) != (self.certificate_chain is None):
            raise ArgumentInvalid("private_key and certificate_chain go together.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepalive:
    """How a silent connection is found dead. A service may refuse pings under 30 s apart."""

    interval_s: float = 60.0
    """After how much silence the client asks whether the other side is there."""
    timeout_s: float = 20.0
    """How long it waits for the answer."""
    without_calls: bool = False
    """Whether it also asks while no call is under way."""

    def __post_init__(self) -> None:
        if self.interval_s <= 0 or self.timeout_s <= 0:
            raise ArgumentInvalid("interval_s and timeout_s are above 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed request is sent again, unchanged and so without a second effect.

    Sent again are requests that failed with UNAVAILABLE, with RESOURCE_EXHAUSTED where the service
    asks for it; events, and changes whose answer holds no secret, also after DEADLINE_EXCEEDED.
    """

    deadline_s: float = 30.0
    """How long after its first failure a request may still be under way; 0: no repetitions."""
    pause_first_s: float = 0.1
    """The longest pause before the first repetition; it doubles with each one."""
    pause_max_s: float = 5.0
    """The longest pause at all, unless the service asks for a longer one."""

    def __post_init__(self) -> None:
        if self.deadline_s < 0 or not 0 < self.pause_first_s <= self.pause_max_s:
            raise ArgumentInvalid(
                "deadline_s is at least 0, pause_first_s above 0 and at most pause_max_s."
            )
