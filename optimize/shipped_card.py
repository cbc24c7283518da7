"""``CARD.md`` of the shipped bundle, from a page of prose beside the recipe and the figures just measured."""

from collections.abc import Iterable

from model_zoo.manifest import Accuracy
from optimize.recipe import RECIPES, Recipe

CARD = RECIPES / "efficientnet_lite0_int8.card.md"

_QUESTIONS = {
    "top1": "first class is the label",
    "top5": "label among the first five",
    "top1_agreement": "same first class as the float model",
    "top1_agreement_where_sure": "the same, where the float model gives its first class one half or more",
}


def write_card(recipe: Recipe, model_bytes: int, calibration_n: int, accuracy: Iterable[Accuracy]) -> str:
    """Fill the page.

    Args:
        recipe: what was run.
        model_bytes: size of ``model.onnx``.
        calibration_n: how many views calibrated it.
        accuracy: rows of its table.
    """
    page = CARD.read_text(encoding="utf-8")
    values = {
        "megabytes": f"{model_bytes / 1e6:.1f}",
        "calibration_n": str(calibration_n),
        "photo_n": str(len(recipe.calibration.photos)),
        "accuracy": "\n".join(_row(one) for one in accuracy),
    }
    for key, value in values.items():
        page = page.replace(f"{{{key}}}", value)
    return page


def _row(one: Accuracy) -> str:
    low, high = (100 * end for end in one.ci95 or (0.0, 1.0))
    photos = f"{one.n} of {one.dataset} ({one.split})"
    hits = f"({round(one.value * one.n)} of {one.n})"
    answer = f"**{one.value * 100:.1f} %** {hits}; 95 % interval {low:.1f} % to {high:.1f} %"
    aside = f"; {one.reference}" if one.reference and one.metric in ("top1", "top5") else ""
    return f"| {photos} | {_QUESTIONS.get(one.metric, one.metric)} | {answer}{aside} |"
