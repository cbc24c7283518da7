"""The few TIFF tags that matter, read without trusting a single offset.

EXIF is a TIFF file inside a JPEG, PNG or WebP, so one reader serves both. It
looks only at the first directory, at most ``MAX_ENTRIES`` of it, and only at
whole numbers stored in the entry itself: there is nothing to follow, so
nothing to loop over. What does not parse is as if it were not there.
"""

import struct

ORIENTATION = 0x0112
MAX_ENTRIES = 512

_INTEGER_FORMATS = {1: "B", 3: "H", 4: "I"}  # the TIFF types BYTE, SHORT and LONG


def read_tags(tiff: bytes | memoryview) -> dict[int, int]:
    """Tag → value for the single whole numbers of the first directory.

    Args:
        tiff: from its byte-order mark (``II`` or ``MM``) on.
    Returns:
        Empty when it is not TIFF. A repeated tag keeps its last value, as in Pillow.
    """
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(bytes(tiff[:4]))
    if order is None or len(tiff) < 8:
        return {}
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    if start + 2 > len(tiff):
        return {}
    (count,) = struct.unpack_from(order + "H", tiff, start)
    whole = min(count, MAX_ENTRIES, (len(tiff) - start - 2) // 12)
    tags: dict[int, int] = {}
    for position in range(start + 2, start + 2 + 12 * whole, 12):
        tag, kind, length = struct.unpack_from(order + "HHI", tiff, position)
        if length == 1 and kind in _INTEGER_FORMATS:
            (tags[tag],) = struct.unpack_from(order + _INTEGER_FORMATS[kind], tiff, position + 8)
    return tags


def read_orientation(exif: bytes | memoryview) -> int:
    """EXIF orientation, 1 to 8; 1 when it is absent, out of range or unreadable.

    Args:
        exif: with or without the ``Exif\\0\\0`` that JPEG puts before it.
    """
    tiff = exif[6:] if exif[:6] == b"Exif\x00\x00" else exif
    value = read_tags(tiff).get(ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1
