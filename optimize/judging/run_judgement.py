"""What a run is worth: ``judgement.json``, its splits judged and how robust the model is.

Beside it are ``mistakes.json``, and ``latency.json``: a file of its own, as a clock never says the same twice and the
judgement of a run that was interrupted is byte for byte that of one that was not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from optimize.data.dataset import Dataset
from optimize.judging.json_file import load_json, save_json
from optimize.judging.judge import judge
from optimize.judging.judged_model import BundleModel, JudgedModel
from optimize.judging.judgement import Judgement
from optimize.judging.latency import measure_latency
from optimize.judging.mistake_pictures import mistake_pictures, save_mistake_pictures
from optimize.judging.predictions import Predictions
from optimize.judging.robustness import Robustness, robustness
from optimize.judging.temperature import fit_temperature
from optimize.training.run_folder import RunFolder

SPLITS = ("test", "val")
LATENCY_SECONDS = 0.5


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

    Attributes:
        folded_temperature: that the logits of the run's bundle are divided by; None: by none, or there is no bundle.
    """

    val: Judgement | None = None
    test: Judgement | None = None
    model: ModelFacts | None = None
    folded_temperature: float | None = None
    robustness: Robustness | None = None

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
        save_json(path, self)

    @classmethod
    def load(cls, path: Path) -> "RunJudgement":
        """Read what ``save`` wrote.

        Raises:
            DataError: not there, or something else.
        """
        return load_json(path, cls, "judgement")


def judge_run(
    folder: RunFolder,
    predictions: Mapping[str, Predictions],
    *,
    seed: int,
    temperature: float | None = None,
    model: JudgedModel | None = None,
    datasets: Mapping[str, Dataset] | None = None,
    corrupt: bool = False,
    latency_seconds: float = LATENCY_SECONDS,
) -> RunJudgement:
    """Judge a run's splits and write ``judgement.json``; with a model and its pictures also ``mistakes.json``.

    Of a bundle, ``latency.json`` is written too.

    Args:
        predictions: "val", "test" or both, before any temperature.
        temperature: as it was folded into the bundle, 1 where none was; None: there is no bundle, and one is fitted on
            "val" where there is such a split.
        model: the run's bundle, opened; it draws the heat maps.
        datasets: the splits' pictures, each in the order of its predictions.
        corrupt: also judge the main split with corrupted pictures.
        latency_seconds: how long to measure a bundle for; 0: not at all.
    Raises:
        DataError: predictions that can't be judged.
        RunError: the disk refused.
        BackendError: the engine failed.
    """
    folded = None if temperature == 1.0 else temperature
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
    if isinstance(model, BundleModel) and latency_seconds > 0:
        measure_latency([model], seconds=latency_seconds)[0].save(folder.latency)
    found = RunJudgement(
        val=judged.get("val"),
        test=judged.get("test"),
        model=None if model is None else facts(model),
        folded_temperature=folded,
        robustness=robustness(model, pictures, seed=seed) if corrupt and model and pictures else None,
    )
    found.save(folder.judgement)
    return found


def facts(model: JudgedModel) -> ModelFacts:
    """What a report says of a model."""
    return ModelFacts(name=model.name, runs_on=model.runs_on, size_bytes=model.size_bytes)
