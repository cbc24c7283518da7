"""The shipped bundle behind the real server: what a fresh checkout answers."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import skimage
from PIL import Image

from tests.model_zoo.labelled_photos import photo_files
from tests.pictures import ORIENTATIONS, oriented, png_bomb
from tests.server.posting import FORMS, post
from tests.server.running import Running, serving

COFFEE = Path(skimage.__file__).parent / "data" / "coffee.png"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`quickeye serve` as it comes."""
    with serving(tmp_path_factory.mktemp("shipped")) as running:
        yield running


def best(client: httpx.Client, data: bytes, form: str = "raw") -> tuple[str, float]:
    reply = post(client, data, form)
    assert reply.status_code == 200, reply.text
    first = reply.json()["results"][0]["predictions"][0]
    return first["label"], first["score"]


def memory_kb(running: Running, field: str) -> int:
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(field)))


@pytest.mark.parametrize("name", ["jpeg", "png", "webp"])
def test_a_turned_photo_gets_the_same_answer_on_every_body_form(shipped: Running, name: str) -> None:
    upright = Image.open(COFFEE).convert("RGB")
    with shipped.client() as client:
        label, score = best(client, oriented(name, 1, upright))
        assert (label, score > 0.5) == ("espresso", True)
        for form in FORMS:
            for orientation in ORIENTATIONS:
                answer = best(client, oriented(name, orientation, upright), form)
                assert answer == (label, pytest.approx(score, abs=0.05)), (form, orientation)


def test_labelled_photos_posted_get_their_labels(shipped: Running) -> None:
    hits = 0
    with shipped.client() as client:
        for file, label in photo_files():
            (result,) = client.post("/v1/predict", content=file.read_bytes()).json()["results"]
            hits += result["predictions"][0]["index"] == label
    assert hits >= 17


def test_a_bomb_is_refused_from_its_header_and_memory_stays_flat(shipped: Running) -> None:
    bomb = png_bomb()
    with shipped.client() as client:
        best(client, COFFEE.read_bytes())
        before = memory_kb(shipped, "VmHWM")
        for form in FORMS:
            reply = post(client, bomb, form)
            assert (reply.status_code, reply.json()["error"]["code"]) == (413, "image_too_large")
    assert memory_kb(shipped, "VmHWM") - before < 20 * len(bomb) / 1024, "a few copies of the 3 MB file, no pixels"


def test_the_catalogue_tells_how_it_is_run(shipped: Running) -> None:
    with shipped.client() as client:
        (entry,) = client.get("/v1/models").json()["models"]
    assert (entry["name"], entry["precision"], entry["classes"]) == ("efficientnet_lite0", "int8", 1000)
    assert entry["engine"]["check"]["passed"]
    assert entry["engine"]["backend"] in ("onnxruntime", "openvino")
    assert {figure["metric"] for figure in entry["accuracy"]} >= {"top1", "top5", "top1_agreement"}


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_every_engine_serves_it(tmp_path: Path, backend: str) -> None:
    with serving(tmp_path, "--backend", backend) as running, running.client() as client:
        assert best(client, COFFEE.read_bytes())[0] == "espresso"
        (entry,) = client.get("/v1/models").json()["models"]
    assert entry["engine"]["backend"] == backend
