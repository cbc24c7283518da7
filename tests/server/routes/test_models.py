"""The catalogue over HTTP: what is served, and loading, swapping, unloading and deleting while pictures come in."""

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.server.mean_colour import write_mean_colour
from tests.server.posting import GREEN, RED
from tests.server.running import Running, serving

ADMIN = ["/v1/models/apple/load", "/v1/models/apple/unload"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own_store")
    for name in ("apple", "apple", "pear", "plum"):
        write_mean_colour(folder, name)
    return folder


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Serves a store of its own, which these tests change; admin is open on loopback."""
    flags = ["--store", str(store), "--backend", "onnxruntime", "--log-format", "json"]
    with serving(tmp_path_factory.mktemp("server"), *flags) as running:
        yield running


def error_of(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


def test_the_catalogue_tells_all_about_every_model(client: httpx.Client) -> None:
    told = client.get("/v1/models").json()
    models = told["models"]
    assert told["default"] == "apple"
    assert [(one["name"], one["version"]) for one in models] == [("apple", 2), ("pear", 1), ("plum", 1)]
    apple = models[0]
    assert apple["versions_in_store"] == [1, 2]
    assert (apple["state"], apple["task"], apple["precision"], apple["classes"]) == (
        "ready",
        "classification",
        "fp32",
        3,
    )
    assert (apple["input"]["height"], apple["input"]["width"]) == (8, 8)
    assert [one["name"] for one in apple["outputs"]] == ["logits"]
    assert apple["engine"]["backend"] == "onnxruntime"
    assert apple["engine"]["check"]["passed"] is True
    assert apple["engine"]["passed_over"] == {}
    assert apple["engine"]["instances"] >= 1
    assert {"1", str(apple["engine"]["max_batch_size"])} <= set(apple["queue"]["predicted_batch_ms"])
    assert all(milliseconds > 0 for milliseconds in apple["queue"]["predicted_batch_ms"].values())
    assert len(apple["fingerprint"]) == 64
    assert apple["load_ms"] > 0
    assert {"lineage", "accuracy", "latency", "licence", "source"} <= set(apple)


def test_one_model_by_name_and_version(client: httpx.Client) -> None:
    assert client.get("/v1/models/apple").json()["version"] == 2
    assert client.get("/v1/models/apple?version=2").json()["version"] == 2
    for path in ("/v1/models/apple?version=1", "/v1/models/nobody", "/v1/models/a%20b"):
        assert error_of(client.get(path)) == (404, "unknown_model")
    assert error_of(client.get("/v1/models/apple?version=-1")) == (400, "invalid_request")


def test_versions_come_and_go(client: httpx.Client) -> None:
    reply = client.post("/v1/models/apple/load?version=1")
    assert (reply.status_code, reply.json()["version"]) == (200, 1)
    assert client.post("/v1/models/apple/versions/1/predict", content=RED).json()["version"] == 1
    assert client.post("/v1/models/apple/predict", content=RED).json()["version"] == 2
    assert client.post("/v1/models/apple/unload?version=2").json() == {"unloaded": "apple", "default": "apple"}
    assert client.post("/v1/models/apple/predict", content=RED).json()["version"] == 1
    assert error_of(client.post("/v1/models/apple/versions/2/predict", content=RED)) == (404, "unknown_model")
    assert client.post("/v1/models/apple/load").json()["version"] == 2
    assert error_of(client.post("/v1/models/apple/unload?version=1")) == (404, "unknown_model")


def test_calls_without_a_name_are_told_that_the_default_was_unloaded(client: httpx.Client) -> None:
    assert client.post("/v1/models/apple/unload").json() == {"unloaded": "apple", "default": None}
    refused = client.post("/v1/predict", content=RED)
    assert error_of(refused) == (404, "unknown_model")
    assert "name one: pear, plum" in refused.json()["error"]["message"]
    assert client.get("/readyz").status_code == 200
    client.post("/v1/models/apple/load")
    assert client.post("/v1/predict", content=RED).json()["model"] == "apple"


@pytest.mark.parametrize(
    "path", ["/v1/models/nobody/load", "/v1/models/apple/load?version=9", "/v1/models/nobody/unload"]
)
def test_what_is_not_there_is_404(client: httpx.Client, path: str) -> None:
    assert error_of(client.post(path)) == (404, "unknown_model")


def test_a_broken_bundle_is_503_and_the_old_version_keeps_answering(client: httpx.Client, store: Path) -> None:
    shutil.copytree(store / "pear" / "1", store / "pear" / "2")
    reply = client.post("/v1/models/pear/load")
    assert error_of(reply) == (503, "backend_unavailable")
    assert int(reply.headers["retry-after"]) >= 1
    assert "pear cannot be served" in reply.json()["error"]["message"]
    shutil.rmtree(store / "pear" / "2")
    answer = client.post("/v1/models/pear/predict", content=RED).json()
    assert (answer["version"], answer["results"][0]["predictions"][0]["label"]) == (1, "red")


def test_deleting_unloads_and_removes(client: httpx.Client, store: Path) -> None:
    assert client.delete("/v1/models/plum").json() == {"deleted": "plum", "versions": [1], "default": "apple"}
    assert not (store / "plum").exists()
    assert error_of(client.post("/v1/models/plum/predict", content=RED)) == (404, "unknown_model")
    assert error_of(client.delete("/v1/models/plum")) == (404, "unknown_model")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"host": "evil.example"},
        {"x-forwarded-for": "203.0.113.9"},
        {"via": "1.1 proxy"},
    ],
)
def test_open_admin_is_for_this_machine_s_user_alone(client: httpx.Client, headers: dict[str, str]) -> None:
    for path in ADMIN:
        assert error_of(client.post(path, headers=headers)) == (403, "forbidden")
    assert error_of(client.delete("/v1/models/apple", headers=headers)) == (403, "forbidden")
    assert client.post("/v1/models/apple/predict", content=RED, headers=headers).status_code == 200


def test_swapping_under_load_loses_nothing(server: Running) -> None:
    """Four callers without a pause, one of them slow to send, while the model is swapped 20 times."""
    over = threading.Event()
    pictures = {"red": RED, "green": GREEN}

    def call(number: int) -> list[tuple[int, str]]:
        seen = []
        with server.client() as client:
            while not over.is_set():
                for label, data in pictures.items():
                    body = iter([data[:10], data[10:]]) if number == 0 else data
                    reply = client.post("/v1/models/apple/predict?top_k=1", content=body)
                    best = (
                        reply.json()["results"][0]["predictions"][0]["label"]
                        if reply.status_code == 200
                        else reply.text
                    )
                    seen.append((reply.status_code, "right" if best == label else best))
        return seen

    def dribble() -> list[tuple[int, str]]:
        """A body that is under way while the version it found is replaced."""
        seen = []
        with server.client() as client:

            def slowly() -> Iterator[bytes]:
                for start in range(0, len(RED), 20):
                    yield RED[start : start + 20]
                    threading.Event().wait(0.01)

            while not over.is_set():
                seen.append((client.post("/v1/models/apple/predict", content=slowly()).status_code, "right"))
        return seen

    with ThreadPoolExecutor(5) as pool, server.client() as admin:
        callers = [pool.submit(call, number) for number in range(4)] + [pool.submit(dribble)]
        try:
            loads = [admin.post("/v1/models/apple/load").status_code for _ in range(20)]
        finally:
            over.set()
        seen = [one for caller in callers for one in caller.result()]
    assert loads == [200] * 20
    assert set(seen) == {(200, "right")}
    assert len(seen) > 20
