"""Videos, cameras and addresses: a real file, a camera that pretends, a network camera on this machine."""

import io
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from server.sender.sources import Encoding, Frame, Source, SourceError, open_source
from server.sender.video import VideoSource, open_camera, without_password
from tests.pictures import encode
from tests.server.photo_video import SIZE, coloured, fitted, natural_photos, write_video


def pixels(frame: Frame) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(frame.data)) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB"), np.int64)


def frames_of(source: Source) -> list[Frame]:
    found = []
    while source.advance():
        found.append(source.frame())
    return found


def test_a_video_of_real_photos_gives_every_one_in_order_and_again_after_rewinding(tmp_path: Path) -> None:
    photos = [fitted(file) for file in natural_photos()]
    path = write_video(tmp_path / "photos.avi", [*photos, *photos], fps=25.0)
    source = open_source(str(path), Encoding(quality=95))
    assert (source.live, source.fps, source.count) == (False, 25.0, 4)
    for _ in range(2):
        found = frames_of(source)
        assert [frame.name for frame in found] == ["0:00.000", "0:00.040", "0:00.080", "0:00.120"]
        for frame, photo in zip(found, [*photos, *photos], strict=True):
            assert np.abs(pixels(frame) - photo).mean() < 6
        source.rewind()
    source.close()


def test_frames_are_made_to_fit_and_never_larger(tmp_path: Path) -> None:
    path = write_video(tmp_path / "photos.avi", [fitted(natural_photos()[0])])
    for size, expected in [((160, 160), (120, 160)), ((64, 200), (48, 64)), ((5000, 5000), (240, 320))]:
        (frame,) = frames_of(open_source(str(path), Encoding(size=size)))
        assert pixels(frame).shape[:2] == expected
    small = frames_of(open_source(str(path), Encoding(quality=30)))[0]
    assert len(small.data) < len(frames_of(open_source(str(path), Encoding(quality=90)))[0].data)


class FakeCamera:
    """Like ``cv2.VideoCapture`` of a camera that gives three frames and is then unplugged."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked: dict[int, float] = {}
        self.left = 3
        self.released = False

    def isOpened(self) -> bool:
        return self.number == 0

    def get(self, which: int) -> float:
        return {cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_FRAME_COUNT: -1.0}.get(which, 0.0)

    def set(self, which: int, value: float) -> bool:
        self.asked[which] = value
        return True

    def grab(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, NDArray[np.uint8] | None]:
        return (True, coloured(200, 10, 10)[:, :, ::-1].copy()) if self.left != 1 else (False, None)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def cameras(monkeypatch: pytest.MonkeyPatch) -> list[FakeCamera]:
    """Every camera that was opened."""
    opened: list[FakeCamera] = []

    def open_one(number: int) -> FakeCamera:
        opened.append(FakeCamera(number))
        return opened[-1]

    monkeypatch.setattr(cv2, "VideoCapture", open_one)
    return opened


def test_a_camera_is_live_and_asked_for_the_newest_frame_of_the_right_size(cameras: list[FakeCamera]) -> None:
    source = open_source("/dev/video0", Encoding(size=(160, 160)))
    (camera,) = cameras
    assert (source.live, source.count) == (True, None)
    assert camera.asked == {
        cv2.CAP_PROP_BUFFERSIZE: 1, cv2.CAP_PROP_FRAME_WIDTH: 160, cv2.CAP_PROP_FRAME_HEIGHT: 160,
    }  # fmt: skip
    assert source.advance()
    frame = source.frame()
    assert (frame.name, pixels(frame).shape) == ("camera 0", (120, 160, 3))
    assert np.abs(pixels(frame) - (200, 10, 10)).max() < 8
    assert source.advance()
    with pytest.raises(SourceError, match="cannot be decoded"):
        source.frame()
    assert source.advance()
    assert not source.advance()
    source.close()
    assert camera.released
    with pytest.raises(SourceError, match="cannot open camera 5"):
        open_camera(5, Encoding())


@pytest.mark.parametrize(("fps", "known"), [(30.0, 30.0), (0.0, None), (90_000.0, None), (-1.0, None)])
def test_a_rate_that_nobody_has_is_none(fps: float, known: float | None) -> None:
    class Odd(FakeCamera):
        def get(self, which: int) -> float:
            return fps if which == cv2.CAP_PROP_FPS else 0.0

    assert VideoSource(cv2, lambda: Odd(0), "odd", Encoding()).fps == known


@pytest.fixture
def network_camera() -> Iterator[str]:
    """Motion JPEG over HTTP, as network cameras speak it: twelve frames, red and green in turn."""
    jpegs = [encode(Image.fromarray(coloured(*colour)), "jpeg") for colour in ((250, 0, 0), (0, 250, 0))]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for number in range(12):
                data = jpegs[number % 2]
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: ANN401
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://user:secret@127.0.0.1:{server.server_port}/video.mjpg"
        server.shutdown()
        thread.join()


def test_a_network_camera_is_live(network_camera: str) -> None:
    source = open_source(network_camera, Encoding())
    assert (source.live, source.count) == (True, None)
    found = frames_of(source)
    source.close()
    assert len(found) >= 10
    assert pixels(found[0]).shape == (SIZE[1], SIZE[0], 3)
    assert {int(pixels(frame).mean(axis=(0, 1)).argmax()) for frame in found} == {0, 1}
    assert "secret" not in found[0].name


def test_passwords_are_not_shown() -> None:
    assert without_password("rtsp://me:se@cret@camera:554/live?x=a@b") == "rtsp://camera:554/live?x=a@b"
    assert without_password("http://camera/x@y") == "http://camera/x@y"
    assert without_password("folder/me@home") == "folder/me@home"


def test_a_missing_opencv_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    (tmp_path / "clip.avi").write_bytes(b"RIFF")
    with pytest.raises(SourceError, match=r"pip install 'quickeye\[cpu\]'"):
        open_source(str(tmp_path / "clip.avi"), Encoding())
