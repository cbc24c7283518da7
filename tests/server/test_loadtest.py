"""The command from its flags to its exit code, against a server that keeps its own count."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from server.loadtest import main, make_parser, make_plan, parse_target, read_pictures
from tests.server.counting_server import CountingServer, Reply

BUSY = Reply(429, b'{"error": {"code": "overloaded"}}', {"Retry-After": "1"})


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(bytes([number]) * (100 + number))
    return folder


def report_of(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict]:
    code = main([str(word) for word in words])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "shape", [["--connections", "3"], ["--rate", "200"], ["--rate", "200", "--arrivals", "burst", "--burst-size", "5"]]
)
def test_what_the_server_counted_is_what_the_client_reports(
    images: Path, capsys: pytest.CaptureFixture[str], shape: list[str]
) -> None:
    def answer(number: int) -> Reply:
        return BUSY if number % 3 == 0 else Reply(delay_s=0.002 * (number % 2))

    with CountingServer(answer) as server:
        flags = ["--images", images, *shape, "--seconds", 0.6, "--warmup", 0, "--json"]
        code, found = report_of(capsys, server.url, *flags)
    assert code == 0
    assert found["by_status"] == {str(status): count for status, count in sorted(server.by_status.items())}
    assert found["requests"] == len(server.seen) == found["latency_ms"]["all"]["n"]
    assert found["ok"] == server.by_status[200] == found["latency_ms"]["ok"]["n"]
    assert found["by_error"] == {"overloaded": server.by_status[429]}
    assert found["retry_after"] == server.by_status[429]
    assert found["unfinished"] == found["not_sent"] == found["warmup_requests"] == 0
    assert {seen.body for seen in server.seen} == {bytes([n]) * (100 + n) for n in range(3)}


def test_warmup_is_seen_by_the_server_and_told_apart(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with CountingServer() as server:
        flags = ["--images", images, "--connections", 2, "--seconds", 0.3, "--warmup", 0.3, "--json"]
        _, found = report_of(capsys, server.url, *flags)
    assert found["warmup_requests"] > 0
    assert found["requests"] + found["warmup_requests"] == len(server.seen)


def test_slow_answers_show_as_slow(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with CountingServer(lambda number: Reply(delay_s=0.05)) as server:
        flags = ["--images", images, "--connections", 4, "--seconds", 0.5, "--warmup", 0, "--json"]
        _, found = report_of(capsys, server.url, *flags)
    assert found["latency_ms"]["ok"]["p50"] >= 50
    assert found["requests"] <= 4 * 11


def test_options_for_the_server_travel_in_the_query(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with CountingServer() as server:
        flags = [
            "--images",
            images,
            "--connections",
            1,
            "--seconds",
            0.1,
            "--top-k",
            3,
            "--timeout-ms",
            250,
            "--warmup",
            0,
        ]
        assert main([str(word) for word in (f"{server.url}/v1/models/m/predict?priority=0", *flags)]) == 0
    assert "admitted" in capsys.readouterr().out
    assert server.seen[0].line == "POST /v1/models/m/predict?priority=0&top_k=3&timeout_ms=250 HTTP/1.1"


def test_nothing_succeeding_fails_and_still_reports(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with CountingServer(lambda number: BUSY) as server:
        code = main([server.url, "--images", str(images), "--connections", "1", "--seconds", "0.1", "--warmup", "0"])
    said = capsys.readouterr()
    assert code == 1
    assert "overloaded" in said.out
    assert "no request succeeded" in said.err


def test_an_unreachable_server_fails_at_once_with_the_reason(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        code = main([url, "--images", str(images), "--connections", "1", "--seconds", "3600"])
    said = capsys.readouterr()
    assert code == 1
    assert said.out == ""
    assert re.search(r"can't reach 127\.0\.0\.1:\d+: .*refused", said.err)


def test_an_interrupt_prints_what_was_measured(images: Path) -> None:
    enough = threading.Event()

    def answer(number: int) -> Reply:
        if number == 50:
            enough.set()
        return Reply(delay_s=0.005)

    with CountingServer(answer) as server:
        words = [
            server.url,
            "--images",
            str(images),
            "--connections",
            "4",
            "--seconds",
            "600",
            "--warmup",
            "0",
            "--json",
        ]
        command = [sys.executable, "-m", "quickeye", "loadtest", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert enough.wait(60)
            os.kill(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        found = json.loads(out)
    assert process.returncode == 130
    assert err == ""
    assert found["interrupted"] is True
    assert found["requests"] >= 40
    assert 0 <= found["unfinished"] <= 4
    assert found["requests"] + found["unfinished"] >= len(server.seen)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["http://h", "--images", "IMAGES"], "one of the arguments --connections --rate is required"),
        (["http://h", "--images", "IMAGES", "--rate", "1", "--connections", "1"], "not allowed with"),
        (["http://h", "--connections", "1"], "--images"),
        (["http://h", "--images", "IMAGES", "--connections", "0"], "'0' is not a whole number from 1 to 10000"),
        (["http://h", "--images", "IMAGES", "--connections", "1.5"], "'1.5' is not a whole number"),
        (["http://h", "--images", "IMAGES", "--rate", "nan"], "'nan' is not a number from 0.001 to 100000"),
        (["http://h", "--images", "IMAGES", "--rate", "-1"], "'-1' is not a number"),
        (["http://h", "--images", "IMAGES", "--rate", "1", "--seconds", "1e9"], "from 0.1 to 3600"),
        (["http://h", "--images", "IMAGES", "--rate", "1", "--arrivals", "odd"], "invalid choice: 'odd'"),
        (
            ["http://h", "--images", "IMAGES", "--connections", "1", "--arrivals", "constant"],
            "--arrivals belongs to --rate",
        ),
        (["http://h", "--images", "IMAGES", "--connections", "1", "--max-inflight", "5"], "--max-inflight belongs to"),
        (["http://h", "--images", "IMAGES", "--rate", "1", "--burst-size", "5"], "--burst-size belongs to"),
        (["https://h", "--images", "IMAGES", "--rate", "1"], "'https://h' is not an address to load"),
        (["http://", "--images", "IMAGES", "--rate", "1"], "is not an address to load"),
        (["http://h:99999", "--images", "IMAGES", "--rate", "1"], "Port out of range"),
        (["http://h/a b", "--images", "IMAGES", "--rate", "1"], "may not have"),
        (["http://h/ü", "--images", "IMAGES", "--rate", "1"], "may not have"),
    ],
)
def test_bad_flags_are_usage_errors_that_say_what_is_wrong(
    images: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(images) if word == "IMAGES" else word for word in words])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_pictures_that_are_not_there_are_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, message in (
        ("/nowhere/at/all", "no such file or folder: /nowhere/at/all"),
        (tmp_path, "no pictures in"),
    ):
        assert main(["http://h", "--images", str(folder), "--rate", "1"]) == 1
        assert capsys.readouterr().err.startswith(f"quickeye loadtest: {message}")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8000", ("127.0.0.1", 8000, "/v1/predict")),
        ("http://127.0.0.1:8000/", ("127.0.0.1", 8000, "/v1/predict")),
        ("localhost:9000", ("localhost", 9000, "/v1/predict")),
        ("localhost", ("localhost", 80, "/v1/predict")),
        ("http://[::1]:8000/v1/models/x/predict", ("::1", 8000, "/v1/models/x/predict")),
        ("http://host/?top_k=2", ("host", 80, "/v1/predict?top_k=2")),
    ],
)
def test_where_a_url_points(url: str, address: tuple[str, int, str]) -> None:
    target = parse_target(url, {})
    assert (target.host, target.port, target.path) == address


def test_flags_have_defaults_that_a_plan_can_use() -> None:
    plan = make_plan(make_parser().parse_args(["http://h", "--images", ".", "--rate", "5"]))
    assert (plan.seconds, plan.warmup_s, plan.seed) == (10.0, 1.0, 0)


def test_one_file_is_enough_of_a_folder(images: Path) -> None:
    assert read_pictures(images / "1.jpg") == [b"\x01" * 101]
