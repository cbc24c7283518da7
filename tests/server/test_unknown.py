"""``unknown``: a picture whose best class scores below the bundle's threshold, on every way to an answer."""

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_zoo.bundle import Bundle, BundleDraft, read_bundle, write_bundle
from model_zoo.manifest import Abstain
from server.answers import Answers
from server.client.events import Result, event_of
from server.client.replies import reply_of
from server.commands.predict import main as predict
from server.job import Answer, Job, JobOptions
from server.streams import events
from server.streams.frame import Stamp
from tests.server.in_app import running_app
from tests.server.mean_colour import write_mean_colour
from tests.server.posting import flat

SURE, UNSURE = flat(250, 10, 10), flat(120, 118, 119)


def abstain(threshold: float) -> Abstain:
    return Abstain(
        threshold=threshold, promise="max_unknown", limit=0.1, confidence=0.95, dataset="d", n=100, answered=0.9
    )


def bundle_with(store: Path, threshold: float) -> Bundle:
    """The mean colour's; its best score is 1 of a red picture, about 0.37 of a grey one."""
    made = write_mean_colour(store, "plain")
    draft = BundleDraft(
        name="abstaining",
        input=made.spec.input,
        labels=made.labels,
        model=made.read_model(),
        check=made.check(),
        card="# For tests\n",
        licence="none",
        source="tests",
        abstain=abstain(threshold),
    )
    return write_bundle(store, draft)


def results(store: Path, path: str, body: object) -> dict[str, Any]:
    async def scenario() -> dict[str, Any]:
        async with running_app(store, backend="onnxruntime") as (_, client):
            reply = await (client.post(path, content=body) if isinstance(body, bytes) else client.post(path, json=body))
            found: dict[str, Any] = reply.json() | {"entry": (await client.get("/v1/models/abstaining")).json()}
            return found

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("threshold", "unknown"), [(0.0, False), (0.25, False), (0.5, False), (0.75, True), (1.0, True)]
)
def test_below_the_threshold_alone(tmp_path: Path, threshold: float, unknown: bool) -> None:
    """Scores 0.5, 0.25, 0.25 are exact in float32: at the threshold it is known still."""
    answers = Answers(bundle_with(tmp_path, threshold))
    scores = np.array([0.25, 0.5, 0.25], np.float32)
    found = answers.answer(Job(np.zeros((8, 8, 3), np.uint8), None, 0.0), scores, 1)
    assert found.unknown is unknown
    assert found.best.label == "green"


def test_neither_top_k_nor_the_caller_s_threshold_has_a_part_in_it(tmp_path: Path) -> None:
    answers = Answers(bundle_with(tmp_path, 0.6))
    options = JobOptions(top_k=1, threshold=0.9)
    scores = np.array([0.25, 0.5, 0.25], np.float32)
    found = answers.answer(Job(np.zeros((8, 8, 3), np.uint8), None, 0.0, options=options), scores, 1)
    assert (found.predictions, found.unknown) == ([], True)


def test_a_bundle_without_a_threshold_knows_everything(tmp_path: Path) -> None:
    answers = Answers(write_mean_colour(tmp_path))
    scores = np.zeros(3, np.float32)
    assert not answers.answer(Job(np.zeros((8, 8, 3), np.uint8), None, 0.0), scores, 1).unknown


def test_a_reply_marks_each_picture_alone_and_keeps_its_classes(tmp_path: Path) -> None:
    bundle_with(tmp_path, 0.6)
    images = [base64.b64encode(data).decode() for data in (SURE, UNSURE, b"no picture")]
    body = results(tmp_path, "/v1/models/abstaining/predict", {"images": images})
    sure, unsure, broken = body["results"]
    assert "unknown" not in sure
    assert "unknown" not in broken
    assert unsure["unknown"] is True
    assert len(unsure["predictions"]) == 3
    assert body["entry"]["abstain"]["threshold"] == 0.6
    read = reply_of({key: value for key, value in body.items() if key != "entry"})
    assert [one.unknown for one in read.results] == [False, True, False]
    plain = results(tmp_path, "/v1/models/plain/predict", UNSURE)
    assert "unknown" not in plain["results"][0]


def test_a_stream_s_event_says_so(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path, 0.6)
    job = Job(np.zeros((8, 8, 3), np.uint8), None, 0.0)
    answer: Answer = Answers(bundle).answer(job, np.array([0.25, 0.5, 0.25], np.float32), 1)
    told = events.result(Stamp(1, None), bundle.spec, answer, 0.1)
    read = event_of(json.loads(events.as_json(told)["text"]))
    assert isinstance(read, Result)
    assert read.unknown
    assert events.unchanged(told)["unknown"] is True
    known = events.result(Stamp(1, None), bundle.spec, replace(answer, unknown=False), 0.1)
    assert "unknown" not in known


def test_predict_says_so_in_words_and_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle_with(tmp_path / "store", 0.6)
    for name, data in (("sure.png", SURE), ("unsure.png", UNSURE)):
        (tmp_path / name).write_bytes(data)
    words = [str(tmp_path / "sure.png"), str(tmp_path / "unsure.png"), "--store", str(tmp_path / "store")]
    assert predict([*words, "--model", "abstaining", "--backend", "onnxruntime"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines if "unknown" in line] == ["unknown"]
    assert "unsure.png" in next(line for line in lines if "unknown" in line)
    assert len(lines) == 7
    assert predict([*words, "--model", "abstaining", "--backend", "onnxruntime", "--json"]) == 0
    sure, unsure = json.loads(capsys.readouterr().out)
    assert ("unknown" in sure, unsure["unknown"]) == (False, True)


def test_the_threshold_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    written = bundle_with(tmp_path, 0.1 + 0.2)
    assert read_bundle(written.folder).manifest.abstain == abstain(0.1 + 0.2)
