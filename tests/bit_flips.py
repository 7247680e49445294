"""Flips single bits in files, and classifies what a program makes of them."""

from __future__ import annotations


def flipped(data: bytes, bit: int) -> bytes:
    """Returns a copy of bytes in which one bit is flipped.

    Args:
        data: The bytes.
        bit: The number of the bit; the lowest bit of the first byte is 0.
    """
    copy = bytearray(data)
    copy[bit // 8] ^= 1 << bit % 8
    return bytes(copy)
