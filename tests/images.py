"""Small files of the kinds a message may hold: a header, no pixels, and an end."""

from __future__ import annotations

import base64
import struct


def png(width=1, height=1):
    """Base64."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + b"crc."
    return _base64(start + b"\x00\x00\x00\x00IEND" + b"crc.")


def gif(width=1, height=1):
    return _base64(b"GIF89a" + struct.pack("<HH", width, height) + b"\x00\x00\x00;")


def jpeg(width=1, height=1):
    """With padding, a restart marker and two segments before the frame."""
    segment = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF".ljust(14, b"\x00")
    tables = b"\xff\xff\xff\xd0\xff\xc4" + struct.pack(">H", 4) + b"\x11\x11"
    frame = b"\xff\xc2" + struct.pack(">HBHH", 11, 8, height, width) + b"\x01\x00\x00\x00"
    return _base64(b"\xff\xd8" + segment + tables + frame + b"\xff\xd9")


def webp(kind, width=1, height=1):
    """`kind`: lossy, lossless or extended."""
    chunk, body = {
        "lossy": (b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width, height)),
        "lossless": (b"VP8L", b"\x2f" + struct.pack("<I", width - 1 | height - 1 << 14)),
        "extended": (b"VP8X", bytes(4) + _three(width - 1) + _three(height - 1)),
    }[kind]
    chunk += struct.pack("<I", len(body)) + body.ljust(16, b"\x00")
    return _base64(b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk)


def pdf():
    return _base64(b"%PDF-1.7\n")


def _three(number):
    return struct.pack("<I", number)[:3]


def _base64(data):
    return base64.b64encode(data).decode()
