"""One model, judged on one data set, in everything that was asked for; perhaps beside another."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from model_zoo.spec import Activation
from optimize.data.dataset import Dataset
from optimize.errors import DataError
from optimize.judging.abstain import abstained, choose
from optimize.judging.ask import Unreadable, ask
from optimize.judging.comparison import Comparison, compare
from optimize.judging.judge import judge
from optimize.judging.judged_model import BundleModel, JudgedModel
from optimize.judging.judgement import Judgement
from optimize.judging.latency import Latency, measure_latency
from optimize.judging.predictions import Predictions
from optimize.judging.robustness import Robustness, robustness
from optimize.judging.run_judgement import ModelFacts, facts
from optimize.judging.threshold import Abstained, Threshold, Wanted

# Told (what is being done, how much of it is done, how much there is).
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was found; what was not asked for is None or empty. A mistake's ``index`` is its place in the data set.

    Attributes:
        abstained: what the threshold that the bundle holds does on these pictures.
        threshold: the one that was asked for, chosen by these pictures.
        no_threshold: why there is none, where one was asked for.
    """

    dataset: str
    model: ModelFacts
    judgement: Judgement
    unreadable: tuple[Unreadable, ...] = ()
    comparison: Comparison | None = None
    robustness: Robustness | None = None
    latency: tuple[Latency, ...] = ()
    abstained: Abstained | None = None
    threshold: Threshold | None = None
    no_threshold: str = ""

    def to_json(self) -> dict[str, Any]:
        """The few figures that programs ask for first, all others after them; fractions."""
        judgement, calibration = self.judgement, self.judgement.calibration
        return {
            "top1": judgement.top1.value,
            "top5": judgement.top5.value,
            "n": judgement.n,
            "ci95": judgement.top1.ci95,
            "ece": calibration.before.ece.value,
            "temperature": calibration.temperature,
            "model": asdict(self.model),
            "dataset": self.dataset,
            "unreadable": self.unreadable,
            "latency": [asdict(one) for one in self.latency],
            "comparison": self.comparison.to_json() if self.comparison else None,
            "robustness": asdict(self.robustness) if self.robustness else None,
            "abstained": asdict(self.abstained) if self.abstained else None,
            "threshold": asdict(self.threshold) if self.threshold else None,
            "judgement": judgement.to_json(),
        }


def evaluate(
    model: JudgedModel,
    dataset: Dataset,
    *,
    seed: int,
    stratified: bool = False,
    other: tuple[JudgedModel, Dataset] | None = None,
    corrupt: bool = False,
    latency_seconds: float = 0.0,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge.

    Args:
        dataset: its classes are the model's labels, in order.
        other: a model to compare with, and the same pictures under its labels.
        corrupt: also judge corrupted pictures.
        latency_seconds: how long to measure each bundle; 0: not at all.
        wanted: also choose a threshold for "unknown".
    Raises:
        DataError: nothing to judge by, or the two models can't be compared.
        BackendError: an engine failed.
    """

    def told(what: str) -> Callable[[int, int], None] | None:
        return None if progress is None else lambda done, planned: progress(what, done, planned)

    asked = ask(model, dataset, told("pictures"))
    threshold, no_threshold = _chosen(model, asked.predictions, wanted, seed) if wanted else (None, "")
    comparison = None
    if other is not None:
        answers = ask(*other, told("pictures, the other model"))
        names = (model.name, other[0].name)
        comparison = compare(asked.predictions, answers.predictions, seed=seed, names=names)
    found = robustness(model, dataset, seed=seed, progress=told("corruptions")) if corrupt else None
    bundles = [one for one in (model, other[0] if other else None) if isinstance(one, BundleModel)]
    quick = measure_latency(bundles, seconds=latency_seconds) if latency_seconds > 0 else ()
    judgement = judge(asked.predictions, seed=seed, stratified=stratified)
    mistakes = tuple(replace(one, index=asked.places[one.index]) for one in judgement.mistakes)
    return Evaluation(
        dataset=dataset.name,
        model=facts(model),
        judgement=replace(judgement, mistakes=mistakes),
        unreadable=asked.unreadable,
        comparison=comparison,
        robustness=found,
        latency=quick,
        abstained=_abstained(model, asked.predictions),
        threshold=threshold,
        no_threshold=no_threshold,
    )


def activation_of(model: JudgedModel) -> Activation:
    """How its logits become scores; a torch network's by softmax, as its bundle's would."""
    return model.bundle.spec.outputs[0].activation if isinstance(model, BundleModel) else "softmax"


def _chosen(model: JudgedModel, predictions: Predictions, wanted: Wanted, seed: int) -> tuple[Threshold | None, str]:
    """A threshold, or why there is none: what else was found is worth having without it."""
    try:
        return choose(predictions, activation_of(model), wanted, seed=seed), ""
    except DataError as error:
        return None, str(error)


def _abstained(model: JudgedModel, predictions: Predictions) -> Abstained | None:
    held = model.bundle.manifest.abstain if isinstance(model, BundleModel) else None
    return None if held is None else abstained(predictions, activation_of(model), held.threshold)
