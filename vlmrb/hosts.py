"""Which hosts are this machine."""

from __future__ import annotations

import ipaddress
import socket


def is_loopback(host: str, *, to_connect: bool = False) -> bool:
    """Whether only this machine reaches a host, as written in an address; names are not resolved.

    Args:
        host: a name or an address, IPv6 with or without brackets.
        to_connect: it is to be connected to, not listened on: then 0.0.0.0 and :: are this machine, too.
    """
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        if any(map(str.isspace, name)):  # inet_aton reads no further
            return False
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(name))  # 127.1, 0x7f000001
        except (OSError, ValueError):
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or (to_connect and address.is_unspecified)
