"""What can be set, in one place: flag over environment over default.

Built once by the command line and passed on; nothing reads the environment at import.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX: Final = "UNIFY_"
ADMIN_TOKEN_CHARS_MIN: Final = 16
GATEWAYS_MAX: Final = 64
MAP_BYTES_MIN: Final = 16 << 20
MAP_BYTES_STEP: Final = 4096


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a service. Each field can be set as `UNIFY_FIELD_NAME` too."""

    data_dir: Path = Path("unify-data")
    """Where all stores are; made if it does not exist."""
    host: str = "127.0.0.1"
    """Address to listen on; one that is not loopback needs `tls_cert`, or `plaintext`."""
    grpc_port: int = 50051
    """0 picks a free one."""
    http_port: int = 8080
    """0 picks a free one."""
    shards: int = 0
    """0: the recorded number, or for a new directory the number of cores, at least 2."""
    gateways: int = 1
    """Processes that share the ports; the first is the serving process itself."""
    gateway_ports: bool = False
    """Each gateway also listens on a free port of its own, named in the ready line."""
    ray_address: str = ""
    """Of a running Ray cluster; empty starts one in process."""
    dev: bool = False
    """Makes the space `dev` with known keys, and serves reflection. Loopback only."""
    admin_token: str = ""
    """Made an admin token at the start, if it is not one yet; 16 characters or more."""
    plaintext: bool = False
    """Serves without TLS on an address that is not loopback."""
    tls_cert: str = ""
    """File with the certificate chain, in PEM, of both ports; empty: they serve without TLS."""
    tls_key: str = ""
    """File with its private key, without a passphrase."""
    tls_client_ca: str = ""
    """File with the authorities that vouch for callers, who then need a certificate (mTLS)."""
    dedupe_window_days: int = 30
    """How long a message id is recognised."""
    checkpoint_overlay_bytes_max: int = 24 << 20
    """Rows kept in memory, per store, before a checkpoint writes them."""
    checkpoint_tail_bytes_max: int = 32 << 20
    """Log, per store, that a restart may have to replay before a checkpoint is due."""
    map_bytes: int = 1 << 38
    """That each of a store's two files can grow to; can be raised with any start."""
    reserve_bytes: int = 256 << 20
    """Free disk, and of each map a tenth at most, below which events are refused."""
    object_store_bytes: int = 256 << 20
    """Of Ray, which carries batches above 100 KB."""
    calls_concurrent_max: int = 1024
    """RPCs at a time, per gateway, and as many calls over HTTP; more are refused at once."""
    space_reads_per_s: int = 100
    """Profile API calls of a space, over HTTP, at all gateways together; 0: no limit."""
    key_reads_per_s: int = 0
    """The same of each of its tokens."""
    space_writes_per_s: int = 0
    """Events of a space, over HTTP, at all gateways together; 0: no limit."""
    key_writes_per_s: int = 0
    """The same of each of its write keys."""
    queue_events_max: int = 20_000
    """Events waiting for one shard, per gateway; more are refused with RESOURCE_EXHAUSTED."""
    stream_window_max: int = 8
    """Batches of one stream under way; more are not read."""
    deadline_s_default: float = 10.0
    """Of a call that names none."""
    drain_s_max: float = 20.0
    """How long SIGTERM waits for calls under way."""
    log_level: str = "info"

    def __post_init__(self) -> None:
        """Refuses what cannot work, naming the setting."""
        problems = [
            text
            for bad, text in (
                (self.dedupe_window_days < 1, "dedupe_window_days must be at least 1"),
                (
                    bool(self.admin_token) and len(self.admin_token) < ADMIN_TOKEN_CHARS_MIN,
                    f"admin_token must have {ADMIN_TOKEN_CHARS_MIN} characters or more",
                ),
                (self.shards < 0, "shards must not be negative"),
                (
                    not 1 <= self.gateways <= GATEWAYS_MAX,
                    f"gateways must be 1 to {GATEWAYS_MAX}",
                ),
                (not 0 <= self.grpc_port < 1 << 16, "grpc_port must be 0 to 65535"),
                (not 0 <= self.http_port < 1 << 16, "http_port must be 0 to 65535"),
                (
                    bool(self.http_port) and self.http_port == self.grpc_port,
                    "http_port and grpc_port must not be the same",
                ),
                (bool(self.tls_cert) != bool(self.tls_key), "tls_cert and tls_key go together"),
                (
                    bool(self.tls_client_ca) and not self.tls_cert,
                    "tls_client_ca needs tls_cert and tls_key",
                ),
                (
                    self.plaintext and bool(self.tls_cert),
                    "plaintext and tls_cert contradict each other",
                ),
                (self.space_reads_per_s < 0, "space_reads_per_s must not be negative"),
                (self.key_reads_per_s < 0, "key_reads_per_s must not be negative"),
                (self.space_writes_per_s < 0, "space_writes_per_s must not be negative"),
                (self.key_writes_per_s < 0, "key_writes_per_s must not be negative"),
                (self.stream_window_max < 1, "stream_window_max must be at least 1"),
                (self.queue_events_max < 1, "queue_events_max must be at least 1"),
                (self.calls_concurrent_max < 1, "calls_concurrent_max must be at least 1"),
                (
                    self.map_bytes < MAP_BYTES_MIN or bool(self.map_bytes % MAP_BYTES_STEP),
                    f"map_bytes must be {MAP_BYTES_MIN} or more, in steps of {MAP_BYTES_STEP}",
                ),
                (self.reserve_bytes < 0, "reserve_bytes must not be negative"),
            )
            if bad
        ]
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def shares_ports(self) -> bool:
        """Whether ports are held for the service, and gateways listen on them together."""
        return self.gateways > 1 or self.gateway_ports

    @property
    def has_tls(self) -> bool:
        """Whether both ports are encrypted."""
        return bool(self.tls_cert)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def _read_bool(text: str) -> bool:
    return text.strip().lower() in {"1", "true", "yes", "on"}


_READERS: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "bool": _read_bool,
    "str": str,
    "Path": Path,
}


def load_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> Settings:
    """Returns settings from flags (None: not given), then `UNIFY_*`, then defaults.

    Raises:
        ValueError: a value cannot be read or is out of range; the text names the setting.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for each in fields(Settings):
        given = flags.get(each.name)
        text = environment.get(PREFIX + each.name.upper())
        if given is not None:
            values[each.name] = given
        elif text is not None:
            try:
                values[each.name] = _READERS[str(each.type)](text)
            except ValueError as error:
                message = f"{PREFIX}{each.name.upper()} cannot be read as {each.type}"
                raise ValueError(message) from error
    return Settings(**values)


def forget_secrets() -> None:
    """Takes secrets out of the environment, once read: Ray hands it on to every process of its."""
    os.environ.pop(f"{PREFIX}ADMIN_TOKEN", None)


def environment_of_children() -> dict[str, str]:
    """Returns the environment for processes of the service, which are handed their settings.

    Without `UNIFY_*`: a process that does not need a secret does not get it.
    """
    return {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
