"""The words of the adb protocol: packets, and the records of its `sync:` and `shell,v2:` services.

Little-endian throughout, as in AOSP's packages/modules/adb (protocol.txt, SYNC.TXT,
file_sync_protocol.h, shell_protocol.h).
"""

from __future__ import annotations

import struct

CNXN, AUTH, OPEN, OKAY, CLSE, WRTE, STLS = (
    int.from_bytes(name, "little")
    for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"CLSE", b"WRTE", b"STLS")
)
COMMANDS = {
    command: command.to_bytes(4, "little").decode()
    for command in (CNXN, AUTH, OPEN, OKAY, CLSE, WRTE, STLS)
}

AUTH_TOKEN, AUTH_SIGNATURE, AUTH_RSAPUBLICKEY = 1, 2, 3

# From this version on, packets carry no checksum.
VERSION_CHECKSUMS, VERSION = 0x01000000, 0x01000001
MAX_PAYLOAD = 1024 * 1024

# command, arg0, arg1, bytes of payload, checksum, command ^ 0xffffffff
HEADER = struct.Struct("<6I")

# Features, as both sides name them in their banners.
SHELL_V2, STAT_V2, LS_V2, SENDRECV_V2 = "shell_v2", "stat_v2", "ls_v2", "sendrecv_v2"

# sync: a request is an id and the length of the path that follows.
SYNC_REQUEST = struct.Struct("<4sI")
SYNC_DATA = SYNC_REQUEST  # DATA and the bytes that follow, DONE and a time, OKAY, FAIL
SYNC_DATA_MAX = 64 * 1024
SYNC_PATH_MAX = 1024
# STAT: mode, size, mtime, all of 32 bits
STAT_V1 = struct.Struct("<4sIII")
# STA2 and LST2: error, device, inode, mode, links, user, group, size, atime, mtime, ctime
STAT_V2_REPLY = struct.Struct("<4sIQQIIIIQqqq")
# DENT and DNT2: as above, then the length of the name that follows
DENT_V1 = struct.Struct("<4sIIII")
DENT_V2 = struct.Struct("<4sIQQIIIIQqqqI")
# SND2 and RCV2, a second record behind the request
SEND_V2 = struct.Struct("<4sII")
RECV_V2 = struct.Struct("<4sI")

# shell,v2: what kind of bytes follow, and how many
SHELL_PACKET = struct.Struct("<BI")
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN, WINDOW_SIZE = range(6)


def checksum(payload: bytes | bytearray | memoryview) -> int:
    """Return the sum of all bytes, which is what the protocol calls a CRC."""
    if len(payload) < 4096:
        return sum(payload) & 0xFFFFFFFF
    import numpy as np

    return int(np.frombuffer(payload, np.uint8).sum(dtype=np.uint64)) & 0xFFFFFFFF


def header(command: int, arg0: int, arg1: int, length: int, payload_sum: int = 0) -> bytes:
    """Return the 24 bytes before a payload."""
    return HEADER.pack(command, arg0, arg1, length, payload_sum, command ^ 0xFFFFFFFF)


def banner_features(banner: bytes) -> tuple[dict[str, str], frozenset[str]]:
    """Return the properties and the features that a `device::` or `host::` banner names."""
    text = banner.rstrip(b"\0").decode("utf-8", "replace")
    fields = text.split("::", 1)[-1].split(";")
    pairs = dict(field.split("=", 1) for field in fields if "=" in field)
    names = pairs.pop("features", "")
    return pairs, frozenset(filter(None, names.split(",")))
