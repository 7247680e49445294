"""Sockets of the gateway, of one process or of several that share a port."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys
from typing import Final

from object2vec_tf.errors import UserError

_BACKLOG: Final = 2048
# A filter of Linux's sockets (Documentation/networking/filter.rst), as operation, jumps
# and operand: drop a segment that has the flag SYN.
_SO_ATTACH_FILTER: Final = 26
_NO_SYN: Final = (
    (0x30, 0, 0, 13),  # ldb [13], the flags in TCP's header
    (0x45, 0, 1, 0x02),  # jset SYN
    (0x06, 0, 0, 0),  # ret 0: drop
    (0x06, 0, 0, 1 << 18),  # ret: accept
)


def listening(host: str, port: int) -> socket.socket:
    """Returns a socket that listens.

    Args:
        host: The address.
        port: The port; 0 takes a free one.

    Raises:
        UserError: The address is not available.
    """
    try:
        family = _family(host, port)
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise _unavailable(host, port, error) from error


def reserved(host: str, port: int) -> socket.socket:
    """Returns a socket that reserves an address for `shared` sockets.

    It does not listen, so that it gets no connections.

    Args:
        host: The address.
        port: The port; 0 takes a free one.

    Raises:
        UserError: The address is not available.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise UserError(
            "--workers: expected an operating system whose processes can share a port, "
            "such as Linux. Give --workers=1."
        )
    # With SO_REUSEPORT alone, a second gateway of the same user would silently take a
    # part of this one's connections.
    listening(host, port).close()
    try:
        return shared(host, port)
    except OSError as error:
        raise _unavailable(host, port, error) from error


def shared(host: str, port: int) -> socket.socket:
    """Returns a socket that is bound to an address with other ones.

    The kernel distributes connections over the sockets that listen.
    """
    bound = socket.socket(_family(host, port), socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def refuse_new(listener: socket.socket) -> None:
    """Drops new connections to a socket, which can then be closed without a loss.

    The kernel resets the connections that it has accepted when the socket that listens
    is closed. Between the last ``accept`` and ``close``, there would be more. A client
    whose connection is dropped asks again after a second, and reaches another socket of
    the same port, or gets "connection refused". Does nothing on systems other than
    Linux.

    Args:
        listener: The socket that listens.

    Example:
        >>> with listening("127.0.0.1", 0) as listener:
        ...     refuse_new(listener)
    """
    if sys.platform != "linux":
        return
    program = b"".join(struct.pack("HBBI", *line) for line in _NO_SYN)
    buffer = ctypes.create_string_buffer(program)
    # struct sock_fprog: the number of instructions and their address
    argument = struct.pack("HP", len(_NO_SYN), ctypes.addressof(buffer))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, argument)


def url_of(bound: socket.socket) -> str:
    """Returns the URL of a socket's address."""
    address, port = bound.getsockname()[:2]
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}"


def _family(host: str, port: int) -> socket.AddressFamily:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]


def _unavailable(host: str, port: int, error: OSError) -> UserError:
    return UserError(
        f"--host={host} --port={port}: cannot listen there: {error.strerror}. "
        "Choose another address, or stop the program that uses it."
    )
