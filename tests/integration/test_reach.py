"""What of a service can be reached from elsewhere, or by other users of its machine."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.integration.service import descendants, title_of
from unify_grpc.service.server import METADATA_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.service import Service

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

LISTENING = "0A"
OF_RAY = [
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.InternalKVGcsService/InternalKVGet",
    "/ray.rpc.JobInfoGcsService/GetAllJobInfo",
]


def processes(service: Service) -> set[int]:
    """Returns all processes of a service."""
    return {service.pid, *descendants(service.pid)}


def sockets_of(process: int) -> set[str]:
    """Returns the sockets that a process holds, by inode."""
    found = set()
    with contextlib.suppress(OSError):  # it may have ended
        for each in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                found |= set(re.findall(r"^socket:\[(\d+)\]$", str(each.readlink())))
    return found


def listening(process: int) -> Iterator[tuple[ipaddress.IPv6Address | ipaddress.IPv4Address, int]]:
    """Yields the addresses and ports that a process listens on."""
    held = sockets_of(process)
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in held:
                digits, _, port = fields[1].partition(":")
                # Words of four bytes, each in the machine's order.
                words = (
                    bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)
                )
                yield ipaddress.ip_address(b"".join(words)), int(port, 16)


def is_loopback(address: ipaddress.IPv6Address | ipaddress.IPv4Address) -> bool:
    """Whether only this machine reaches an address."""
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def test_nothing_listens_beyond_loopback(service: Service) -> None:
    """No process of it, those of Ray least of all: who reaches them may have them run code."""
    found = {
        (title_of(process).split(" ")[0].rpartition("/")[2], str(address), port): address
        for process in processes(service)
        for address, port in listening(process)
    }

    assert {"gcs_server", "raylet", "ray::ControlActor"} <= {name for name, _, _ in found}
    assert [] == [where for where, address in found.items() if not is_loopback(address)]


@pytest.mark.parametrize("method", OF_RAY)
def test_ray_asks_for_its_token(service: Service, method: str) -> None:
    """Other users of the machine reach its port, and are told nothing there."""
    (process,) = [each for each in processes(service) if "gcs_server" in title_of(each)]
    ((_, port),) = listening(process)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary(method)  # its types know messages only
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", timeout=20)

    assert grpc.StatusCode.UNAUTHENTICATED == refused.value.code()


def test_data_is_for_its_owner(service: Service) -> None:
    """Nobody else looks into the directory; its token for Ray is closed by itself, too."""
    modes = [each.stat().st_mode for each in (service.data_dir, service.data_dir / "ray-token")]

    assert ["0o700", "0o600"] == [oct(stat.S_IMODE(each)) for each in modes]


def test_more_metadata_than_a_call_needs_is_refused(service: Service) -> None:
    """Before a key is looked at: whoever sends it need not have one."""
    with grpc.insecure_channel(service.address) as channel:
        call: Any = channel.unary_unary("/unify.v1.ProfileService/GetProfile")
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", timeout=20, metadata=[("x-more", "x" * (2 * METADATA_BYTES_MAX))])

    assert grpc.StatusCode.RESOURCE_EXHAUSTED == refused.value.code()
