"""``explain=cam`` from the post to the reply, on real engines and on the fake one."""

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model_zoo.store import shipped_store
from tests.model_zoo.labelled_photos import photo_files
from tests.pictures import encode
from tests.server.fake_bundles import MeanColour
from tests.server.in_app import running_app
from tests.server.posting import RED

PATH = "/v1/predict?explain=cam"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """``mapped`` has maps of 4 × 4 cells' brightness, ``plain`` has none."""
    MeanColour(name="mapped", maps=True, embedding=True).write(tmp_path)
    MeanColour(name="plain").write(tmp_path)
    return tmp_path


def spotted(row: int, column: int) -> bytes:
    """A black picture of 36 × 48 px, one of its 4 × 4 cells white; the model's input has 12 × 16."""
    pixels = np.zeros((48, 36, 3), np.uint8)
    pixels[12 * row : 12 * row + 12, 9 * column : 9 * column + 9] = 255
    return encode(Image.fromarray(pixels), "png")


def replies(store: Path, *calls: tuple[str, Any], backend: str = "fake") -> list[httpx.Response]:
    """Post each body to its path; bytes are raw pictures, the rest is JSON."""

    async def scenario() -> list[httpx.Response]:
        async with running_app(store, backend=backend) as (_, client):
            return [
                await (client.post(path, content=body) if isinstance(body, bytes) else client.post(path, json=body))
                for path, body in calls
            ]

    return asyncio.run(scenario())


def levels_of(result: dict[str, Any]) -> NDArray[np.uint8]:
    """The map's grey levels, by Pillow."""
    shown = result["class_activation"]
    with Image.open(io.BytesIO(base64.b64decode(shown["png"], validate=True))) as image:
        assert image.size == (shown["width"], shown["height"])
        return np.asarray(image)


@pytest.mark.parametrize("backend", ["fake", "onnxruntime", "openvino"])
def test_a_map_shows_where_the_picture_is_bright(store: Path, backend: str) -> None:
    pytest.importorskip("openvino" if backend == "openvino" else "onnxruntime", reason="pip install 'quickeye[fast]'")
    places = [(0, 0), (1, 3), (3, 2)]
    answers = replies(store, *((PATH, spotted(*place)) for place in places), backend=backend)
    for place, reply in zip(places, answers, strict=True):
        (result,) = reply.json()["results"]
        levels = levels_of(result)
        assert np.unravel_index(levels.argmax(), levels.shape) == place
        assert levels[place] == 255
        shown = result["class_activation"]
        assert shown["index"] == result["predictions"][0]["index"]
        assert (shown["height"], shown["width"], shown["box"]) == (4, 4, [0, 0, 36, 48])
        assert shown["maximum"] > 0


def test_every_picture_of_a_request_gets_its_own(store: Path) -> None:
    pictures = [base64.b64encode(spotted(row, 1)).decode() for row in range(4)]
    (reply,) = replies(store, (PATH, {"images": [*pictures, "AAAA"]}), backend="onnxruntime")
    *good, bad = reply.json()["results"]
    assert [int(levels_of(result).argmax()) for result in good] == [1, 5, 9, 13]
    assert "class_activation" not in bad


def test_nobody_is_told_who_did_not_ask(store: Path) -> None:
    (reply,) = replies(store, ("/v1/predict", RED))
    assert "class_activation" not in reply.json()["results"][0]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/models/plain/predict?explain=cam", "its bundle has no class_activation output"),
        ("/v1/predict?explain=lime", "explain must be cam"),
        ("/v1/predict?explain=", "explain must be cam"),
    ],
)
def test_what_can_not_be_explained_is_a_clear_400(store: Path, path: str, said: str) -> None:
    refused, served = replies(store, (path, RED), ("/v1/models/plain/predict", RED))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
    assert said in refused.json()["error"]["message"]
    assert served.status_code == 200


def test_the_shipped_model_explains_a_photo_turned_by_exif() -> None:
    """The map lies on the picture as it is shown, whatever way it is stored."""
    file, _ = photo_files()[9]
    with Image.open(file) as image:
        photo = image.convert("RGB").resize((120, 120))
    canvas = Image.new("RGB", (400, 300), (124, 116, 104))
    canvas.paste(photo, (230, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encode(canvas.transpose(Image.Transpose.ROTATE_90), "png", exif=exif)
    calls = ((PATH, encode(canvas, "png")), (PATH, turned))
    for reply in replies(shipped_store().root, *calls, backend="onnxruntime"):
        (result,) = reply.json()["results"]
        assert (result["width"], result["height"]) == (400, 300)
        left, top, right, bottom = result["class_activation"]["box"]
        levels = levels_of(result)
        row, column = np.unravel_index(levels.argmax(), levels.shape)
        assert 230 <= left + (column + 0.5) / 7 * (right - left) <= 350
        assert 20 <= top + (row + 0.5) / 7 * (bottom - top) <= 140
