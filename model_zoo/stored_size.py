"""Width, height and EXIF orientation of each format, from its header bytes.

Why not the decoder's own header call: Pillow's ``getexif`` decodes a PNG
whole, its WebP decoder allocates two canvases when it opens, its ``open``
warns about large pictures through a process-wide setting. The parsers here
allocate nothing and take a bounded number of steps (``MAX_STEPS``) on bytes
that lie; a JPEG takes about 4 µs. AVIF alone is opened by Pillow, which
parses its boxes and leaves the pixels.

A parser raises ``UndecodableImageError``, or ``struct.error`` where the bytes
end early, which ``header.py`` translates.
"""

import struct
from collections.abc import Callable
from io import BytesIO

import numpy as np

from model_zoo.errors import UndecodableImageError, UnsupportedFormatError
from model_zoo.exif import ORIENTATION, read_orientation, read_tags
from model_zoo.npy import npy_size

Data = bytes | memoryview
StoredSize = tuple[int, int, int] | tuple[int, int, int, int]  # width, height, orientation; of JPEG and npy, components

MAX_STEPS = 8192
MAX_JPEG_SCANS = 128  # encoders write about ten

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SEQUENTIAL = frozenset({0xC0, 0xC1})
_SEGMENT = struct.Struct(">BBH")  # 0xFF, marker, length
_FRAME = struct.Struct(">xB2xBHHB")  # marker, bits, height, width, components
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
# Segments that tell nothing here: tables, comments, and what applications add, but for EXIF.
_JPEG_PASSED = frozenset({0xC4, 0xCC, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}) - {0xE1}
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_TIFF_WIDTH, _TIFF_HEIGHT, _DNG_VERSION = 0x0100, 0x0101, 0xC612


def _lost(name: str, what: str) -> UndecodableImageError:
    return UndecodableImageError(f"the {name} file is broken: {what}")


def jpeg_size(data: Data) -> StoredSize:
    """Walk the markers up to the first scan: the frame header, and the first EXIF segment."""
    frame = 0
    exif: Data | None = None
    position = 2
    read_segment, last_segment = _SEGMENT.unpack_from, len(data) - _SEGMENT.size
    for _ in range(MAX_STEPS):
        if position <= last_segment:
            lead, marker, length = read_segment(data, position)
            if marker in _JPEG_PASSED and lead == 0xFF and length > 2:
                position += 2 + length
                continue
        else:
            (lead, marker), length = struct.unpack_from("BB", data, position), None
        if lead != 0xFF:
            position = _next_marker(data, position)
        elif marker == 0xFF:
            position += 1
        elif marker in _JPEG_ALONE:
            position += 2
        elif marker in (0xD9, 0xDA):
            break
        elif length is None:
            raise _lost("JPEG", "it ends within a segment")
        else:
            if marker in _JPEG_FRAMES:
                frame = frame or position
            elif marker == 0xE1 and exif is None and data[position + 4 : position + 10] == b"Exif\x00\x00":
                exif = data[position + 10 : position + 2 + length]
            position += 2 + max(length, 2)
    if not frame:
        raise _lost("JPEG", "no frame header before its first scan")
    width, height, components = _jpeg_frame(data, frame, position)
    return width, height, 1 if exif is None else read_orientation(exif), components


def _next_marker(data: Data, position: int) -> int:
    """Stray bytes between segments are skipped, as libjpeg does, but no more than 64 KiB of them."""
    found = bytes(data[position : position + 65_536]).find(b"\xff")
    if found < 0:
        raise _lost("JPEG", "its segments do not follow one another")
    return position + found


def _jpeg_frame(data: Data, frame: int, scan: int) -> tuple[int, int, int]:
    """Width, height and components, once it is sure that decoding takes one pass over it, or a few.

    Each scan of a progressive file is a pass over all pixels and may be a few
    bytes long: without a limit, a small file keeps a core busy for an hour.
    """
    marker, precision, height, width, components = _FRAME.unpack_from(data, frame)
    if precision != 8:
        raise UnsupportedFormatError(f"JPEG with {precision} bits a sample is not served; save it with 8 bits")
    (in_first_scan,) = struct.unpack_from("B", data, scan + 4)
    if marker not in _JPEG_SEQUENTIAL or in_first_scan < components:
        scans = _count_scans(data)
        if scans > MAX_JPEG_SCANS:
            raise _lost("JPEG", f"it has {scans} scans, and more than {MAX_JPEG_SCANS} are not decoded")
    return width, height, components


def _count_scans(data: Data) -> int:
    """Start-of-scan markers; inside a scan's own bytes 0xFF 0xDA can't occur. Ten times as fast as bytes.count."""
    octets = np.frombuffer(data, np.uint8)
    return int(np.count_nonzero(octets[1:][octets[:-1] == 0xFF] == 0xDA))


def png_size(data: Data) -> StoredSize:
    """IHDR, then the chunks before the pixels for an eXIf (one that comes later is not looked for)."""
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if kind != b"IHDR" or length != 13:
        raise _lost("PNG", "it does not begin with IHDR")
    position = 33
    for _ in range(MAX_STEPS):
        if position + 8 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"eXIf":
            return width, height, read_orientation(data[position + 8 : position + 8 + length])
        if kind in (b"IDAT", b"IEND"):
            break
        position += 12 + length
    return width, height, 1


def webp_size(data: Data) -> StoredSize:
    """The canvas of an extended file, or the one frame of a simple one."""
    kind = data[12:16]
    if kind == b"VP8X":
        flags, low_w, high_w, low_h, high_h = struct.unpack_from("<B3xHBHB", data, 20)
        orientation = _webp_orientation(data) if flags & 0x08 else 1
        return (low_w | high_w << 16) + 1, (low_h | high_h << 16) + 1, orientation
    if kind == b"VP8L":
        mark, bits = struct.unpack_from("<BI", data, 20)
        if mark == 0x2F:
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 1
    elif kind == b"VP8 ":
        mark, width, height = struct.unpack_from("<3x3sHH", data, 20)
        if mark == b"\x9d\x01\x2a":
            return width & 0x3FFF, height & 0x3FFF, 1
    raise _lost("WebP", "its first chunk holds no picture")


def _webp_orientation(data: Data) -> int:
    position = 12
    for _ in range(MAX_STEPS):
        if position + 8 > len(data):
            break
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF":
            return read_orientation(data[position + 8 : position + 8 + length])
        position += 8 + length + (length & 1)
    return 1


def bmp_size(data: Data) -> StoredSize:
    """The information header; a negative height means rows from the top, not a size."""
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    if header_bytes not in _BMP_HEADERS:
        raise _lost("BMP", f"an information header of {header_bytes} bytes is not known")
    width, height = struct.unpack_from("<HH" if header_bytes == 12 else "<ii", data, 18)
    return width, abs(height), 1


def gif_size(data: Data) -> StoredSize:
    """The logical screen, grown to the first frame where that sticks out (as decoders do)."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    in_extension = False
    for _ in range(MAX_STEPS):
        (first,) = struct.unpack_from("B", data, position)
        if in_extension:
            position += 1 + first
            in_extension = first != 0
        elif first == 0x21:
            position += 2
            in_extension = True
        elif first == 0x2C:
            left, top, frame_width, frame_height = struct.unpack_from("<HHHH", data, position + 1)
            return max(width, left + frame_width), max(height, top + frame_height), 1
        elif first == 0x3B:
            break
        else:
            position += 1
    raise _lost("GIF", "no frame found")


def tiff_size(data: Data) -> StoredSize:
    """The first directory. Camera raw files are TIFF too, but their first picture is a thumbnail."""
    tags = read_tags(data)
    if _DNG_VERSION in tags or data[8:10] == b"CR":
        raise UnsupportedFormatError("camera raw files are not served; send a JPEG made from it")
    if _TIFF_WIDTH not in tags or _TIFF_HEIGHT not in tags:
        raise _lost("TIFF", "its first directory has no width or height")
    orientation = tags.get(ORIENTATION, 1)
    return tags[_TIFF_WIDTH], tags[_TIFF_HEIGHT], orientation if 1 <= orientation <= 8 else 1


def avif_size(data: Data) -> StoredSize:
    """Pillow parses the boxes (its orientation covers ``irot`` and ``imir`` too)."""
    from PIL import AvifImagePlugin

    if not AvifImagePlugin.SUPPORTED:
        raise UnsupportedFormatError("AVIF is not served: this machine's Pillow was built without it")
    try:
        image = AvifImagePlugin.AvifImageFile(BytesIO(data))
        orientation = read_orientation(image.info.get("exif", b""))
    except Exception as error:
        raise UndecodableImageError(f"the AVIF file is broken: {error}") from error
    return *image.size, orientation


STORED_SIZE: dict[str, Callable[[Data], StoredSize]] = {
    "jpeg": jpeg_size,
    "png": png_size,
    "webp": webp_size,
    "bmp": bmp_size,
    "gif": gif_size,
    "tiff": tiff_size,
    "avif": avif_size,
    "npy": npy_size,
}
