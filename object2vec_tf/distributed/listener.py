"""The socket on which a worker listens until TensorFlow does."""

from __future__ import annotations

import ipaddress
import socket

from object2vec_tf.distributed.cluster import host_and_port


def open_listener(address: str) -> socket.socket:
    """Returns a socket that listens on a worker's address.

    It listens on a single network interface if the host is an IP address of this
    machine, or localhost. Other names may resolve differently on each machine (Debian's
    /etc/hosts maps a machine's own name to 127.0.1.1), and an address that this machine
    does not have may be translated to it: then it listens on all interfaces.

    Args:
        address: ``host:port``.

    Raises:
        OSError: The port cannot be used.
    """
    host, port = host_and_port(address)
    host = "127.0.0.1" if host == "localhost" else host
    if _is_ip_address(host):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            return socket.create_server((host, port), family=family, backlog=128)
        except OSError:
            pass  # not an address of this machine, or the port is used
    return socket.create_server(("", port), backlog=128)


def is_loopback(address: str) -> bool:
    """Returns whether an address, ``host:port``, is one of this machine alone."""
    host, _ = host_and_port(address)
    return host == "localhost" or (
        _is_ip_address(host) and ipaddress.ip_address(host).is_loopback
    )


def _is_ip_address(host: str) -> bool:
    """Returns whether a host is given by its address instead of its name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
