"""``quickeye stream`` from its flags to its exit code, against a real server."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from server.commands.stream import main, make_parser, stream_options
from tests.model_zoo.labelled_photos import photo_files
from tests.server.client.stream_double import Refused, StreamDouble
from tests.server.commands.called import called
from tests.server.photo_video import coloured, fitted, write_video
from tests.server.posting import GREEN, RED
from tests.server.running import STOP_S, Running, free_port, serving

Json = dict[str, Any]
COLOURS = [("red", (250, 10, 10)), ("green", (10, 250, 10)), ("blue", (10, 10, 250))]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty frames at 100 per second: red, green, blue and so on."""
    path = tmp_path_factory.mktemp("video") / "colours.avi"
    return write_video(path, [coloured(*COLOURS[number % 3][1]) for number in range(30)], fps=100.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "1.png").write_bytes(RED)
    (folder / "2.png").write_bytes(GREEN)
    return folder


def lines(out: str, kind: str) -> list[Json]:
    return [event for event in map(json.loads, out.splitlines()) if event["type"] == kind]


def best(event: Json) -> str:
    label: str = event["predictions"][0]["label"]
    return label


def test_a_video_is_answered_whole_and_in_order(
    server: Running, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = called(main, capsys, str(video), "--url", server.url, "--json", "--top-k", "1")
    results = lines(out, "result")
    assert code == 0
    assert [best(result) for result in results] == [COLOURS[number % 3][0] for number in range(30)]
    assert [result["frame"] for result in results] == list(range(1, 31))
    assert (results[3]["name"], results[3]["model"], len(results[3]["predictions"])) == ("0:00.030", "mean_colour", 1)
    assert lines(out, "ready")[0]["options"]["policy"] == "all"
    assert lines(out, "stats")[0]["results"] == 30
    assert err.startswith("frames      30 in ")
    assert "results     30 (" in err


def test_a_folder_is_sent_as_it_is_and_a_broken_picture_is_exit_code_1(
    server: Running, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [str(folder), "--url", server.url, "--json", "--model", "mean_colour/2"]
    code, out, _ = called(main, capsys, *flags)
    assert code == 0
    assert [(event["name"], best(event), event["version"]) for event in lines(out, "result")] == [
        ("1.png", "red", 2), ("2.png", "green", 2),
    ]  # fmt: skip
    (folder / "0.png").write_bytes(b"no picture")
    code, out, err = called(main, capsys, *flags)
    assert (code, len(lines(out, "result"))) == (1, 2)
    assert [(event["name"], event["code"]) for event in lines(out, "error")] == [("0.png", "undecodable_image")]
    assert "errors      1: undecodable_image 1" in err


def test_a_log_says_how_it_went(server: Running, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(main, capsys, str(video), "--url", server.url, "--fps", "0", "--loop", "--frames", "45")
    assert (code, err) == (0, "")
    assert out.splitlines()[-6].startswith("frames      45 in ")
    assert out.splitlines()[-5].startswith("results     45 (")


def test_latest_plays_a_file_like_a_camera(server: Running, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(main, capsys, str(video), "--url", server.url, "--policy", "latest", "--json")
    assert code == 0
    ended = lines(out, "result") + lines(out, "dropped")
    numbers = sorted(event["frame"] for event in ended)
    assert len(numbers) == len(set(numbers)) >= 1
    assert all(event["reason"] == "superseded" for event in lines(out, "dropped"))


def test_options_reach_the_server(server: Running, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--gate 4 --smoothing 0.5 --threshold 0.1 --only-changed --priority 3 --size 64x64 --quality 60"
    flags = [*words.split()]
    code, out, _ = called(main, capsys, str(video), "--url", server.url, "--json", "--frames", "6", *flags)
    assert code == 0
    options = lines(out, "ready")[0]["options"]
    assert (options["gate"], options["smoothing"], options["threshold"]) == (4.0, 0.5, 0.1)
    assert (options["only_changed"], options["priority"]) == (True, 3)
    assert {(event["width"], event["height"]) for event in lines(out, "result")} == {(64, 48)}


def test_only_what_was_asked_is_sent() -> None:
    flags = make_parser().parse_args(["x"])
    assert stream_options(flags) == {"top_k": 5, "only_changed": False}
    flags = make_parser().parse_args(["x", "--model", "shoes/3", "--threshold", "0"])
    assert stream_options(flags) == {
        "top_k": 5, "only_changed": False, "model": "shoes", "version": 3, "threshold": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "words",
    ["", "x --fps -1", "x --size 640", "x --size 0x5", "x --policy some", "x --quality 0", "x --key a --key-file b",
     "x --url ftp://h", "x --model a/b/c", "x --model a/", "x --key", "x --top-k 0", "x --smoothing 1", "x --frames 0"],
)  # fmt: skip
def test_usage_errors_are_exit_code_2(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(main, capsys, *words.split())
    assert (code, out) == (2, "")
    assert err.startswith("usage: quickeye stream")


def test_what_cannot_work_is_exit_code_1_and_says_why(
    server: Running, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    for words, said in [
        (["no.avi"], "no such file or folder: no.avi"),
        ([str(folder), "--url", server.url, "--model", "nope"], "nope"),
        ([str(folder), "--url", nobody, "--patience", "0"], "Connection refused\n"),
        ([str(folder), "--url", nobody, "--patience", "0.3"], "Connection refused; gave up after 0.3 s\n"),
        ([str(folder), "--url", server.url + "/elsewhere"], "not_found"),
        ([str(folder), "--url", server.url, "--key-file", str(tmp_path / "none")], "none: No such file"),
        ([str(tmp_path), "--url", server.url], "no files with a picture's name; --recursive"),
    ]:
        code, out, err = called(main, capsys, *words)
        assert (code, out) == (1, "")
        assert err.splitlines()[-1].startswith("quickeye stream: ")
        assert said in err


def test_a_server_that_is_no_quickeye_is_recognised(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for double, said in [
        (StreamDouble(refusals=[Refused(404, None, body=b"<h1>nginx</h1>")]), "is it one? It begins with: <h1>nginx"),
        (StreamDouble(first="hello"), "is this a Quickeye server"),
    ]:
        with double.beside() as url:
            code, out, err = called(main, capsys, str(folder), "--url", url)
        assert (code, out) == (1, "")
        assert said in err


def test_a_key_comes_from_a_flag_or_a_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key").write_text("from-a-file\n")
    for flags, key in [(["--key", "sesame"], "sesame"), (["--key-file", str(tmp_path / "key")], "from-a-file")]:
        double = StreamDouble()
        with double.beside() as url:
            assert called(main, capsys, str(folder), "--url", url, *flags)[0] == 0
        assert double.requests[0].headers["Authorization"] == f"Bearer {key}"


def test_a_lost_connection_is_told_and_made_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    double = StreamDouble(breaks={0: (1, 1001)}, refusals=[Refused(503, "not_ready", "0")])
    with double.beside() as url:
        code, out, err = called(main, capsys, str(folder), "--url", url, "--json")
    assert code == 0
    assert [event["frame"] for event in lines(out, "result")] == [1, 2]
    assert len(lines(out, "reconnecting")) == 2
    assert "quickeye stream: told not_ready (not_ready); trying again in " in err
    assert "quickeye stream: the server is stopping: as told; trying again in " in err
    assert "connected   2 times" in err


class Started:
    """The command in a process of its own, on a terminal or not."""

    def __init__(self, words: list[str], *, terminal: bool) -> None:
        command = [sys.executable, "-m", "quickeye", "stream", *words]
        self.main_end, other = pty.openpty() if terminal else os.pipe()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "90", "LINES": "30"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=other, stderr=subprocess.PIPE, env=environment
        )
        os.close(other)
        self.said = ""

    def read_until(self, words: str) -> None:
        """Read its output until it holds these words."""
        deadline_s = time.monotonic() + STOP_S
        while words not in self.said:
            assert time.monotonic() < deadline_s, self.said
            part = os.read(self.main_end, 65536)
            assert part, self.said
            self.said += part.decode()

    def ended(self) -> tuple[int, str]:
        """Its exit code and what it said on stderr; the rest of its output is read."""
        try:
            while part := os.read(self.main_end, 65536):
                self.said += part.decode()
        except OSError:  # how a terminal says that the other end is closed
            pass
        os.close(self.main_end)
        _, err = self.process.communicate(timeout=STOP_S)
        return self.process.returncode, err.decode()


@pytest.fixture
def start() -> Iterator[Any]:
    """Start the command; it is ended with the test."""
    started: list[Started] = []

    def begin(*words: str, terminal: bool = False) -> Started:
        started.append(Started(list(words), terminal=terminal))
        return started[-1]

    yield begin
    for each in started:
        with each.process:
            each.process.kill()


def test_a_terminal_shows_it_live_and_ctrl_c_ends_it_well(server: Running, video: Path, start: Any) -> None:  # noqa: ANN401
    command = start(str(video), "--url", server.url, "--loop", "--fps", "30", "--top-k", "2", terminal=True)
    command.read_until("connected")
    for label in ("red", "green", "blue"):
        command.read_until(label)
    command.process.send_signal(signal.SIGINT)
    code, err = command.ended()
    assert (code, err) == (130, "")
    last = command.said[command.said.rindex("\x1b[", 0, command.said.rindex("connection")) :]
    assert "ended" in last
    assert "without an answer" not in command.said
    assert command.said.endswith("\x1b[?25h")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_the_server_s_count(
    server: Running,
    video: Path,
    start: Any,  # noqa: ANN401
    number: int,
    code: int,
) -> None:
    command = start(str(video), "--url", server.url, "--loop", "--json")
    command.read_until('"type": "result"')
    command.process.send_signal(number)
    assert command.ended()[0] == code
    stats = json.loads(command.said.splitlines()[-1])
    assert stats["type"] == "stats"
    assert stats["results"] == command.said.count('"type": "result"')


def test_ctrl_c_ends_an_attempt_to_connect(folder: Path, start: Any) -> None:  # noqa: ANN401
    command = start(str(folder), "--url", f"http://127.0.0.1:{free_port()}", "--patience", "1000", "--json")
    command.read_until('"type": "reconnecting"')
    command.process.send_signal(signal.SIGINT)
    code, err = command.ended()
    assert code == 130
    assert "Traceback" not in err


def test_output_that_nobody_reads_is_exit_code_141(server: Running, video: Path, start: Any) -> None:  # noqa: ANN401
    command = start(str(video), "--url", server.url, "--loop", "--json")
    command.read_until('"type": "result"')
    os.close(command.main_end)
    _, err = command.process.communicate(timeout=STOP_S)
    assert command.process.returncode == 141
    assert b"Traceback" not in err


def test_a_server_that_is_restarted_is_found_again(
    colour_store: Path,
    video: Path,
    tmp_path: Path,
    start: Any,  # noqa: ANN401
) -> None:
    flags = ["--store", str(colour_store), "--backend", "onnxruntime"]
    with serving(tmp_path, *flags) as first:
        command = start(str(video), "--url", first.url, "--loop", "--fps", "50", "--frames", "120", "--json")
        command.read_until('"type": "result"')
        first.process.kill()
        command.read_until('"type": "reconnecting"')
    with serving(tmp_path, *flags, port=first.port):
        code, err = command.ended()
    numbers = [event["frame"] for event in lines(command.said, "result")]
    assert (code, numbers) == (0, list(range(1, 121)))
    assert "connected   2 times" in err


@pytest.mark.slow
def test_a_video_of_real_photos_shows_what_is_in_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = photo_files()
    video = write_video(tmp_path / "photos.avi", [fitted(file, (480, 360)) for file, _ in photos], fps=25.0)
    with serving(tmp_path) as running:
        code, out, _ = called(main, capsys, str(video), "--url", running.url, "--json", "--size", "320x320")
    results = lines(out, "result")
    assert (code, len(results)) == (0, len(photos))
    hits = [
        label in [one["index"] for one in result["predictions"]]
        for result, (_, label) in zip(results, photos, strict=True)
    ]
    assert sum(hits) >= 16


def test_opencv_is_not_loaded_for_a_folder(folder: Path) -> None:
    assert find_spec("cv2") is not None
    code = (
        "import sys\nfrom server.sender.sources import Encoding, open_source\nimport server.commands.stream\n"
        f"source = open_source({str(folder)!r}, Encoding())\nsource.advance()\nsource.frame()\n"
        "assert not {'cv2', 'fastapi', 'uvicorn', 'onnxruntime', 'openvino', 'httpx'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
