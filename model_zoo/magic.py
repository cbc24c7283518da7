"""Which image format some bytes are, from their first bytes alone.

``identify`` tells apart three things: a format that is served, a real image
format that is not (the caller can then name it), and no image at all.
"""

from model_zoo.npy import MAGIC as NPY

FORMATS = ("jpeg", "png", "webp", "bmp", "gif", "tiff", "avif", "npy")

_ENABLED: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (NPY, "npy"),
)

_KNOWN: tuple[tuple[bytes, str], ...] = (
    (b"\x00\x00\x01\x00", "ICO"),
    *((bytes((0, 0, kind, 0, 0, 0, 0, 0)), "TGA") for kind in (2, 3, 10, 11)),
    (b"\x00\x00\x02\x00", "CUR"),
    (b"8BPS", "PSD"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"II\xbc", "JPEG XR"),
    (b"II+\x00", "BigTIFF"),
    (b"MM\x00+", "BigTIFF"),
    (b"IIU\x00", "Panasonic raw"),
    (b"\x8aMNG\r\n\x1a\n", "MNG"),
    (b"\x8bJNG\r\n\x1a\n", "JNG"),
    (b"%!PS-Adobe", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"gimp xcf", "XCF"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"icns", "ICNS"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"SIMPLE  =", "FITS"),
    (b"/* XPM */", "XPM"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"\x01\xda\x00\x01", "SGI"),
    (b"\x01\xda\x01\x01", "SGI"),
    (b"\x59\xa6\x6a\x95", "Sun raster"),
    (b"BPG\xfb", "BPG"),
    (b"FLIF", "FLIF"),
    (b"farbfeld", "farbfeld"),
)

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def identify(data: bytes | memoryview) -> tuple[str, bool] | None:
    """Name the format, and say whether it is one of ``FORMATS``.

    Returns:
        ``("png", True)``, ``("PSD", False)``, or None when no image format is recognised.
    """
    head = bytes(data[:16])
    for magic, name in _ENABLED:
        if head.startswith(magic):
            return name, True
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp", True
    if head[4:8] == b"ftyp":
        return _identify_isobmff(data)
    for magic, name in _KNOWN:
        if head.startswith(magic):
            return name, False
    other = _identify_without_magic(data)
    return None if other is None else (other, False)


def _identify_isobmff(data: bytes | memoryview) -> tuple[str, bool] | None:
    size = min(int.from_bytes(data[:4], "big"), 512)
    listed = bytes(data[16:size])
    brands = {bytes(data[8:12])} | {listed[i : i + 4] for i in range(0, len(listed) - 3, 4)}
    if brands & {b"avif", b"avis"}:
        return "avif", True
    return ("HEIC/HEIF", False) if brands & _HEIF_BRANDS else None


def _identify_without_magic(data: bytes | memoryview) -> str | None:
    """Formats known by a short or late mark: PNM, PCX, SVG, TGA."""
    head = bytes(data[:1024])
    if head[:1] == b"P" and head[1:2] in b"1234567fF" and head[2:3] in b" \t\r\n" and len(head) > 3:
        return "PNM"
    if head[:1] == b"\x0a" and head[1:2] in b"\x00\x02\x03\x05" and head[2:3] == b"\x01" and len(head) >= 128:
        return "PCX"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] == b"<" and b"<svg" in text and b"<html" not in text.lower():
        return "SVG"
    if head[40:44] == b" EMF" and head[:4] == b"\x01\x00\x00\x00":
        return "EMF"
    return "TGA" if bytes(data[-18:]) == b"TRUEVISION-XFILE.\x00" else None
