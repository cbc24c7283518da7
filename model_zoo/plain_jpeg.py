"""Which JPEGs any decoder should understand alike, read off their markers.

Decoders on GPUs know less than libjpeg of what is odd in a JPEG, and say less of what is wrong with it: some ignore
Adobe's word on colours, fill what is missing with grey, or take a progressive file and are slow. Those stay with the
CPU, which tells their pixels or their fault. A plain one is:

- baseline, 8 bits, one scan of all components, from its first marker to an end-of-image marker with nothing after it:
  a truncated file has none;
- grey, or Y, Cb and Cr numbered 1, 2, 3, with colours at full (4:4:4), half (4:2:2) or quarter resolution (4:2:0).

Damage within the scan is not looked for: that takes decoding it.
"""

import struct

_SEGMENT = struct.Struct(">BBH")  # 0xFF, marker, length
_BASELINE, _SCAN, _ADOBE = 0xC0, 0xDA, 0xEE
# Tables, restart intervals, comments and what applications add.
_PASSED = frozenset({0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}) - {_ADOBE}
_MAX_SEGMENTS = 256
_GREY = b"\x11"  # samples across and down, a digit each
_COLOUR = frozenset({b"\x11\x11\x11", b"\x21\x11\x11", b"\x22\x11\x11"})
_NUMBERED = b"\x01\x02\x03"
_YCC = 1  # Adobe's transform


def is_plain_jpeg(data: bytes | memoryview) -> bool:
    """Whether a JPEG has nothing that decoders differ about; some 5 µs."""
    if data[-2:] != b"\xff\xd9":
        return False
    position, components, last = 2, 0, len(data) - 16
    for _ in range(_MAX_SEGMENTS):
        if position > last:
            return False
        lead, marker, length = _SEGMENT.unpack_from(data, position)
        if lead != 0xFF or length < 2:
            return False
        if marker == _SCAN:
            return components != 0 and data[position + 4] == components
        if marker == _BASELINE:
            if components or not _is_plain_frame(bytes(data[position + 4 : position + 2 + length])):
                return False
            components = data[position + 9]
        elif marker == _ADOBE:
            if data[position + 4 : position + 9] == b"Adobe" and data[position + 15] != _YCC:
                return False
        elif marker not in _PASSED:
            return False
        position += 2 + length
    return False


def _is_plain_frame(frame: bytes) -> bool:
    """Bits, height, width, how many components; then for each its number, its sampling and its table."""
    numbers, sampling = frame[6::3], frame[7::3]
    if len(frame) != 6 + 3 * frame[5] or frame[0] != 8:
        return False
    return sampling == _GREY if frame[5] == 1 else numbers == _NUMBERED and sampling in _COLOUR
