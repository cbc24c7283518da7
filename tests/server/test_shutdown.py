"""The end of a server: nothing admitted is lost, new work is told where it stands."""

import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.server.posting import RED
from tests.server.running import Running, serving

SLOW = ["--backend", "fake", "--backend-option", "fake.delay_ms=1500", "--instances", "1", "--max-batch-size", "1"]


def slow_server(store: Path) -> list[str]:
    return ["--store", str(store), *SLOW, "--max-queue-wait-ms", "60000", "--timeout-ms", "60000"]


def post(running: Running) -> httpx.Response:
    with running.client() as client:
        return client.post("/v1/predict", content=RED)


def wait_until(running: Running, images: int) -> None:
    for _ in range(200):
        if running.metric("quickeye_queue_images") + running.metric("quickeye_inflight_images") >= images:
            return
        threading.Event().wait(0.02)
    raise AssertionError("the pictures were never admitted")


def test_admitted_work_is_answered_after_sigterm(colour_store: Path, tmp_path: Path) -> None:
    with serving(tmp_path, *slow_server(colour_store)) as running, ThreadPoolExecutor(8) as pool:
        replies = [pool.submit(post, running) for _ in range(3)]
        wait_until(running, 3)
        running.terminate()
        assert [reply.result().status_code for reply in replies] == [200] * 3
        assert running.ended() == 0
    assert "drained" in running.lines()


def test_while_draining_the_listener_says_503(colour_store: Path, tmp_path: Path) -> None:
    with serving(tmp_path, *slow_server(colour_store), grace_s=3.0) as running, running.client() as client:
        assert client.get("/readyz").status_code == 200
        running.terminate()
        while client.get("/readyz").status_code == 200:
            pass
        with running.client() as newcomer:  # a new connection is still taken
            refused = newcomer.post("/v1/predict", content=RED)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/healthz").status_code == 200
        assert running.ended() == 0


def test_ctrl_c_waits_for_no_load_balancer(colour_store: Path, tmp_path: Path) -> None:
    """The grace would outlast the test's patience: it is left out, and what was admitted is still answered."""
    with serving(tmp_path, *slow_server(colour_store), grace_s=3600.0) as running, ThreadPoolExecutor(8) as pool:
        reply = pool.submit(post, running)
        wait_until(running, 1)
        running.process.send_signal(signal.SIGINT)
        assert reply.result().status_code == 200
        assert running.ended() == 0


def test_work_that_outlasts_the_drain_is_given_up_with_exit_code_1(colour_store: Path, tmp_path: Path) -> None:
    flags = [*slow_server(colour_store), "--drain-timeout-s", "0.1"]
    with serving(tmp_path, *flags) as running, ThreadPoolExecutor(8) as pool:
        replies = [pool.submit(post, running) for _ in range(3)]
        wait_until(running, 3)
        running.terminate()
        statuses = sorted(reply.result().status_code for reply in replies)
        assert running.ended() == 1
    assert set(statuses) <= {200, 503}
    assert statuses[-1] == 503
    assert "were not answered" in running.lines()


def test_a_second_signal_ends_at_once(colour_store: Path, tmp_path: Path) -> None:
    with serving(tmp_path, *slow_server(colour_store), grace_s=60.0) as running:
        running.terminate()
        while "draining" not in running.lines():
            threading.Event().wait(0.02)
        running.terminate()
        assert running.ended() == 1


def test_a_taken_port_is_said_in_words(colour_store: Path, tmp_path: Path) -> None:
    with (
        serving(tmp_path, "--store", str(colour_store), "--backend", "fake") as running,
        pytest.raises(RuntimeError, match=r"cannot listen on 127\.0\.0\.1"),
        serving(tmp_path, "--store", str(colour_store), "--port", str(running.port)),
    ):
        raise AssertionError("two servers on one port")


def test_a_broken_bundle_ends_the_server_with_the_reason(colour_store: Path, tmp_path: Path) -> None:
    broken = tmp_path / "store"
    shutil.copytree(colour_store, broken)
    model = broken / "mean_colour" / "2" / "model.onnx"
    model.write_bytes(model.read_bytes() + b"x")
    with (
        pytest.raises(RuntimeError, match=r"mean_colour cannot be served.*model\.onnx"),
        serving(tmp_path, "--store", str(broken)),
    ):
        raise AssertionError("a changed bundle was served")
