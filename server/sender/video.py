"""Frames of video files, cameras and network addresses by OpenCV, imported here only, and only when needed."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import simplejpeg

from server.sender.sources import Encoding, Frame, SourceError

# A network source that is silent for this long has ended.
SILENCE_MS = 15_000
# Still pictures and files of variable rate claim odd rates.
MAX_FPS = 1000.0

Capture = Any  # cv2.VideoCapture, which has no types
OpenCV = ModuleType


class VideoSource:
    """A ``cv2.VideoCapture`` as a source.

    Args:
        cv2: OpenCV, or what stands in for it.
        open_capture: opens the video; called again to rewind.
        name: for a person.
        live: None: by whether the video knows how many frames it has.
    Raises:
        SourceError: OpenCV cannot open it.
    """

    def __init__(
        self, cv2: OpenCV, open_capture: Callable[[], Capture], name: str, encoding: Encoding, live: bool | None = None
    ) -> None:
        self._cv2 = cv2
        self._open_capture = open_capture
        self._name = name
        self._encoding = encoding
        self._capture = self._opened()
        self._captured_at = 0.0
        fps, count = (self._capture.get(which) for which in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        self.live = count <= 0 if live is None else live
        self.fps: float | None = fps if 0 < fps <= MAX_FPS else None
        self.count: int | None = None if self.live or not 0 < count < 2**53 else int(count)

    def advance(self) -> bool:
        """Step to the next frame; a live source waits for it, ``SILENCE_MS`` at most where OpenCV can."""
        stepped = bool(self._capture.grab())
        self._captured_at = time.time()
        return stepped

    def frame(self) -> Frame:
        """The frame it stands on, as JPEG.

        Raises:
            SourceError: it cannot be decoded.
        """
        decoded, pixels = self._capture.retrieve()
        if not decoded:
            raise SourceError(f"{self._name}: a frame that cannot be decoded")
        size = self._encoding.size
        if size is not None and (pixels.shape[1] > size[0] or pixels.shape[0] > size[1]):
            scale = min(size[0] / pixels.shape[1], size[1] / pixels.shape[0])
            fitting = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
            pixels = self._cv2.resize(pixels, fitting, interpolation=self._cv2.INTER_AREA)
        data = simplejpeg.encode_jpeg(pixels, self._encoding.quality, "BGR", "420")
        return Frame(data, self._captured_at, self._where())

    def rewind(self) -> None:
        """Open the video anew: seeking is wrong in some files."""
        self._capture.release()
        self._capture = self._opened()

    def close(self) -> None:
        """Give the camera, the file or the connection back."""
        self._capture.release()

    def _opened(self) -> Capture:
        capture = self._open_capture()
        if not capture.isOpened():
            raise SourceError(f"cannot open {self._name}")
        return capture

    def _where(self) -> str:
        if self.live:
            return self._name
        minutes, seconds = divmod(self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1e3, 60)
        return f"{minutes:.0f}:{seconds:06.3f}"


def open_file(path: Path, encoding: Encoding) -> VideoSource:
    """A video file.

    Raises:
        SourceError: OpenCV is missing, or cannot read it.
    """
    cv2 = load_opencv()
    try:
        return VideoSource(cv2, lambda: cv2.VideoCapture(str(path)), str(path), encoding, live=False)
    except SourceError:
        raise SourceError(f"{path} is no video that OpenCV can read") from None


def open_camera(number: int, encoding: Encoding) -> VideoSource:
    """A camera of this machine.

    Raises:
        SourceError: OpenCV is missing, or there is no such camera.
    """
    cv2 = load_opencv()

    def capture() -> Capture:
        opened = cv2.VideoCapture(number)
        opened.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not one from the queue
        if encoding.size is not None:
            opened.set(cv2.CAP_PROP_FRAME_WIDTH, encoding.size[0])
            opened.set(cv2.CAP_PROP_FRAME_HEIGHT, encoding.size[1])
        return opened

    try:
        return VideoSource(cv2, capture, f"camera {number}", encoding, live=True)
    except SourceError:
        raise SourceError(
            f"cannot open camera {number}: is /dev/video{number} there, may you read it (group 'video'), "
            "and does no other program use it?"
        ) from None


def open_address(url: str, encoding: Encoding) -> VideoSource:
    """A network camera or a video on a server; live unless it knows how many frames it has.

    Raises:
        SourceError: OpenCV is missing, or nothing that it can read answers there.
    """
    cv2 = load_opencv()
    patience = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, SILENCE_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, SILENCE_MS]
    try:
        return VideoSource(
            cv2, lambda: cv2.VideoCapture(url, cv2.CAP_FFMPEG, patience), without_password(url), encoding
        )
    except SourceError:
        raise SourceError(
            f"cannot open {without_password(url)}: does it answer, are name and password right, is it a video?"
        ) from None


def without_password(url: str) -> str:
    """An address as it may be shown: ``rtsp://user:secret@host/`` → ``rtsp://host/``."""
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def load_opencv() -> OpenCV:
    """OpenCV, told to keep its own words to itself: they would tear the live view.

    Raises:
        SourceError: it is not installed.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2
    except ImportError as error:
        raise SourceError(
            "reading videos and cameras needs OpenCV: pip install 'quickeye[cpu]', or opencv-python-headless "
            f"({error}). A folder of pictures needs nothing more"
        ) from None
    module: OpenCV = cv2
    return module
