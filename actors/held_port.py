"""A port that several processes of one service listen on.

By SO_REUSEPORT the kernel spreads connections over all who listen. It would do so over two services
of one user as well, silently, so a port is first asked for as if it were ours alone.
"""

from __future__ import annotations

import errno
import socket


class HeldPort:
    """Keeps a port for this service while none of its gateways listens yet, or again."""

    def __init__(self, host: str, port: int) -> None:
        """Takes a port of a host; 0 picks a free one.

        Raises:
            OSError: another service has it, or the host is not this machine's.
        """
        self.number = port
        self._sockets: list[socket.socket] = []
        problem = OSError(f"the address {host} cannot be had")
        for family, _, _, _, (address, *_) in socket.getaddrinfo(
            host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            try:
                self._hold(family, str(address))
            except OSError as error:
                # A name like `localhost` may have an address of a family that is switched off.
                if error.errno == errno.EADDRINUSE:
                    self.close()
                    message = f"the port {self.number} of {host} is taken"
                    raise OSError(message) from error
                problem = error
        if not self._sockets:
            raise problem

    def _hold(self, family: int, address: str) -> None:
        with _socket(family) as alone:
            alone.bind((address, self.number))
            self.number = alone.getsockname()[1]
        shared = _socket(family)
        try:
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            shared.bind((address, self.number))
        except OSError:
            shared.close()
            raise
        self._sockets.append(shared)

    def close(self) -> None:
        """Gives the port back; who listens on it goes on."""
        while self._sockets:
            self._sockets.pop().close()


def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    # Connections that have ended keep a port for a minute, which is no reason to refuse it.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made
