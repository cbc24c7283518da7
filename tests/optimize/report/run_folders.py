"""Run folders as training leaves them, made by hand and small."""

import json
from pathlib import Path

import numpy as np

from optimize.judging.judge import judge
from optimize.judging.judgement import Figure
from optimize.judging.latency import Latency
from optimize.judging.mistake_pictures import MistakePicture, data_uri, save_mistake_pictures
from optimize.judging.predictions import Predictions
from optimize.judging.robustness import Corrupted, Robustness
from optimize.judging.run_judgement import ModelFacts, RunJudgement
from optimize.training.epoch_log import TIMES
from optimize.training.run_folder import RunFolder
from tests.optimize.judging.invented import predictions

RECIPE = """name = "garments"
seed = 7
[data]
train = "photos"
[model]
architecture = "efficientnet_lite0"
weights = "pretrained"
[train]
epochs = 3
ema = 0.999
"""
METRICS = """epoch,lr,train_loss,train_top1,val_loss,val_top1,val_top5,val_ece
1,0.001,2.1,0.31,1.9,0.42,0.8,0.11
2,0.0005,1.4,0.55,1.2,0.61,0.9,
3,0.0001,nan,0.62,1.1,0.66,0.92,0.05
"""


def whole_run(root: Path, *, classes: int = 10, names: tuple[str, ...] | None = None) -> RunFolder:
    """Everything that a finished run has but its bundle."""
    folder = RunFolder(root)
    root.mkdir(parents=True, exist_ok=True)
    folder.recipe.write_text(RECIPE, encoding="utf-8")
    folder.metrics.write_text(METRICS, encoding="utf-8")
    folder.times.write_text(",".join(TIMES) + "\n1,38,2,50\n2,40,1,50\n3,38,1,50\n", encoding="utf-8")
    some = predictions(240, classes, skill=1.2)
    if names:
        some = Predictions(some.logits, some.labels, names, some.identifiers)
    folder.data.write_text(json.dumps(data_of(some)), encoding="utf-8")
    judged = judge(some, seed=1, rounds=40)
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    pictures = [MistakePicture(one, data_uri(pixels), data_uri(pixels[:, :, :1])) for one in judged.mistakes[:4]]
    save_mistake_pictures(folder.mistakes, "test", pictures)
    RunJudgement(val=judged, test=judged, model=FACTS, robustness=WORSE, folded_temperature=1.3).save(folder.judgement)
    QUICK.save(folder.latency)
    return folder


def data_of(some: Predictions) -> dict[str, object]:
    """A ``data.json``."""
    counts = {name: int((some.labels == place).sum()) for place, name in enumerate(some.classes)}
    return {
        "fingerprint": "ab" * 32,
        "counts": {"train": {"class": counts}, "test": {"class": counts}},
        "pictures": {"train": 240, "test": 240},
        "unreadable": [["broken<b>.jpg", "it ends in the middle"]],
        "leaks": [{"split": "test", "picture": "a.jpg", "train_picture": "b.jpg", "same": "bytes"}],
        "duplicates": [["c.jpg", "d.jpg"]],
        "warnings": ["class 1 is rare"],
    }


FACTS = ModelFacts(name="garments/1", runs_on="onnxruntime, fp32", size_bytes=4_600_000)
QUICK = Latency(
    model="garments/1",
    device="a CPU",
    backend="onnxruntime",
    precision="fp32",
    threads=2,
    n=99,
    p50_ms=7.25,
    p90_ms=9.0,
)
WORSE = Robustness(
    n=240,
    clean=Figure(0.8),
    cells=tuple(
        Corrupted(name, one, Figure(0.8 - one / 10)) for name in ("fog", "gaussian_noise") for one in (1, 3, 5)
    ),
    mean=0.5,
)
