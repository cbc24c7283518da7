"""``judgement.json`` of a run: its splits judged, how robust and how quick the model is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from optimize.data.dataset import Dataset
from optimize.errors import DataError
from optimize.judging.judge import judge
from optimize.judging.judged_model import BundleModel, JudgedModel
from optimize.judging.judgement import Judgement
from optimize.judging.latency import Latency, measure_latency
from optimize.judging.mistake_pictures import mistake_pictures, save_mistake_pictures
from optimize.judging.predictions import Predictions
from optimize.judging.robustness import Robustness, robustness
from optimize.judging.temperature import fit_temperature
from optimize.training.durable import write_whole
from optimize.training.run_folder import RunFolder

SPLITS = ("test", "val")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What was judged: ``size_bytes`` of its graph, or of its weights where there is none."""

    name: str
    runs_on: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJudgement:
    """All that is known; what was not looked at is None.

    ``test`` was seen once, at the end; choices were made on ``val``, which therefore flatters.
    """

    val: Judgement | None = None
    test: Judgement | None = None
    model: ModelFacts | None = None
    robustness: Robustness | None = None
    latency: Latency | None = None

    @property
    def main(self) -> tuple[str, Judgement] | None:
        """The split to speak of: test, else val."""
        found = [(split, one) for split in SPLITS if (one := getattr(self, split)) is not None]
        return found[0] if found else None

    def save(self, path: Path) -> None:
        """Write JSON, whole or not at all.

        Raises:
            RunError: the disk refused.
        """
        text = json.dumps(_adapter().dump_python(self, mode="json"), indent=1, allow_nan=False)
        write_whole(path, f"{text}\n".encode())

    @classmethod
    def load(cls, path: Path) -> "RunJudgement":
        """Read what ``save`` wrote.

        Raises:
            DataError: not there, or something else.
        """
        try:
            return _adapter().validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise DataError(f"{path}: no judgement can be read from it: {error}") from error


def judge_run(
    folder: RunFolder,
    predictions: Mapping[str, Predictions],
    *,
    seed: int,
    temperature: float | None = None,
    model: JudgedModel | None = None,
    datasets: Mapping[str, Dataset] | None = None,
    corrupt: bool = False,
    latency_seconds: float = 0.0,
) -> RunJudgement:
    """Judge a run's splits and write ``judgement.json``; with a model and its pictures also ``mistakes.json``.

    Args:
        predictions: "val", "test" or both, before any temperature.
        temperature: as it was folded into the bundle; None: fitted on "val" where there is one.
        model: the run's bundle, opened; it draws the heat maps.
        datasets: the splits' pictures.
        corrupt: also judge the main split with corrupted pictures.
        latency_seconds: how long to measure the model for; 0: not at all.
    Raises:
        DataError: predictions that can't be judged.
        RunError: the disk refused.
        BackendError: the engine failed.
    """
    if temperature is None and "val" in predictions:
        temperature = fit_temperature(predictions["val"])
    judged = {
        # On the split that a temperature was fitted on, its gain is found by cross-fitting.
        split: judge(one, seed=seed, temperature=temperature if split == "test" else None)
        for split, one in predictions.items()
    }
    split = next(one for one in SPLITS if one in judged)
    pictures = (datasets or {}).get(split)
    if model is not None and pictures is not None:
        save_mistake_pictures(folder.mistakes, split, mistake_pictures(model, pictures, judged[split].mistakes))
    quick = (
        measure_latency([model], seconds=latency_seconds)[0]
        if isinstance(model, BundleModel) and latency_seconds > 0
        else None
    )
    found = RunJudgement(
        val=judged.get("val"),
        test=judged.get("test"),
        model=None if model is None else facts(model),
        robustness=robustness(model, pictures, seed=seed) if corrupt and model and pictures else None,
        latency=quick,
    )
    found.save(folder.judgement)
    return found


def facts(model: JudgedModel) -> ModelFacts:
    """What a report says of a model."""
    return ModelFacts(name=model.name, runs_on=model.runs_on, size_bytes=model.size_bytes)


def _adapter() -> TypeAdapter[RunJudgement]:
    return TypeAdapter(RunJudgement)
