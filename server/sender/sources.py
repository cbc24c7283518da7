"""Where ``quickeye stream`` gets its frames: pictures, video files, cameras, network addresses.

A source steps (``advance``) and gives the frame it stands on, encoded
(``frame``); both may block and are called from one thread. Stepping is
cheap, so that a frame nobody has time for is never encoded.
"""

import io
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image, ImageOps

from server.picture_files import PICTURE_SUFFIXES, picture_files

Size = tuple[int, int]
_CAMERA = re.compile(r"(?:/dev/video)?(\d{1,4})")


class SourceError(Exception):
    """A source cannot be opened or read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Frame:
    """An encoded picture, when it was taken (seconds since 1970), and what a person would call it.

    ``number`` counts the frames that were given, from 1.
    """

    data: bytes
    captured_at: float
    name: str
    number: int = 0


class Source(Protocol):
    """One source of frames."""

    @property
    def live(self) -> bool:
        """Whether it runs on while nobody reads."""

    @property
    def fps(self) -> float | None:
        """Its own rate; None when it has none."""

    @property
    def count(self) -> int | None:
        """How many frames it has; None when nobody knows."""

    def advance(self) -> bool:
        """Step to the next frame; False: there is none. A live source waits for it."""

    def frame(self) -> Frame:
        """The frame it stands on.

        Raises:
            SourceError: this one cannot be read; the next may be.
        """

    def rewind(self) -> None:
        """Back to before the first frame; not of a live source."""

    def close(self) -> None:
        """Give back what it holds."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How frames are made: no larger than ``size`` (width, height), JPEG of this quality where they are encoded."""

    size: Size | None = None
    quality: int = 85


class PictureSource:
    """Picture files in the order of their names, sent as they are; only those larger than ``size`` are made anew."""

    live = False
    fps = None

    def __init__(self, files: list[Path], encoding: Encoding) -> None:
        self._files = files
        self._encoding = encoding
        self._at = -1

    @property
    def count(self) -> int:
        """How many files."""
        return len(self._files)

    def advance(self) -> bool:
        """Step to the next file."""
        self._at += 1
        return self._at < len(self._files)

    def frame(self) -> Frame:
        """The file's bytes, or a smaller picture of it.

        Raises:
            SourceError: it cannot be read.
        """
        file = self._files[self._at]
        try:
            data = file.read_bytes()
        except OSError as error:
            raise SourceError(f"{file}: {error.strerror or error}") from None
        if self._encoding.size is not None:
            data = no_larger(data, self._encoding.size, self._encoding.quality)
        return Frame(data, time.time(), file.name)

    def rewind(self) -> None:
        """Back to before the first."""
        self._at = -1

    def close(self) -> None:
        """Nothing is held."""


def no_larger(data: bytes, size: Size, quality: int) -> bytes:
    """A picture that fits into ``size`` (width, height); the same bytes if it does, or is none that Pillow reads."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width <= size[0] and image.height <= size[1]:
                return data
            image.draft("RGB", size)
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return data  # the server says what is wrong with it
    upright.thumbnail(size)
    smaller = io.BytesIO()
    upright.save(smaller, "JPEG", quality=quality)
    return smaller.getvalue()


def open_source(text: str, encoding: Encoding, *, recursive: bool = False) -> Source:
    """The source that a person means.

    Args:
        text: a picture, a folder of pictures, a video file, an address (rtsp, http, …), or a camera: its number or
            /dev/videoN.
        recursive: whether folders inside a folder are entered.
    Raises:
        SourceError: there is none, or it cannot be opened.
    """
    from server.sender import video

    path = Path(text)
    if "://" in text:
        return video.open_address(text, encoding)
    if camera := _CAMERA.fullmatch(text):
        return video.open_camera(int(camera[1]), encoding)
    if path.is_dir():
        return _open_folder(path, encoding, recursive=recursive)
    if not path.exists():
        raise SourceError(
            f"no such file or folder: {text}. A camera is given by its number (0) or as /dev/video0, "
            "a network camera as rtsp://HOST/PATH"
        )
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return PictureSource([path], encoding)
    return video.open_file(path, encoding)


def _open_folder(path: Path, encoding: Encoding, *, recursive: bool) -> PictureSource:
    try:
        files = picture_files(path, recursive=recursive)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from None
    if not files:
        hint = "" if recursive else "; --recursive looks into the folders inside, too"
        raise SourceError(f"{path}: no files with a picture's name{hint}")
    return PictureSource(files, encoding)
