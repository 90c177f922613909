"""What every command that listens on a port checks: who can reach it, and whether it is free."""

from __future__ import annotations

import ipaddress
import socket

from flashtrace_agent.errors import FlashTraceError


def check_access(host: str, token: str | None, *, variable: str, danger: str) -> None:
    """Check that nobody else can reach a server without a token.

    Args:
        host: the address it is to listen on.
        token: what is asked of those who come.
        variable: the environment variable that holds the token.
        danger: what happens without it, as in "shows every trace to".

    Raises:
        FlashTraceError: if the host is not a loopback address and there is no token.
    """
    if token or is_loopback(host):
        return
    raise FlashTraceError(
        f"Listening on {host} {danger} whoever reaches this machine: "
        f"set {variable} to a token that they must give, or leave --host at 127.0.0.1."
    )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_port(host: str, port: int) -> None:
    """Check that the address can be listened on.

    Raises:
        FlashTraceError: if the port is taken, or the host is not this machine's.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise FlashTraceError(
            f"The host {host!r} is not known: pass an address of this machine as --host."
        ) from error
    with socket.socket(family, kind, protocol) as probe:
        # As the server does; without it a port closed a moment ago would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(place)
        except OSError as error:
            raise FlashTraceError(
                f"Cannot serve on {host}:{port} ({error.strerror}): "
                "pass another --port, or stop what uses it."
            ) from error
