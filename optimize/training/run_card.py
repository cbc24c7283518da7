"""CARD.md of a trained bundle: what it is, what it was trained on, what it is worth, what nobody looked at."""

from collections.abc import Mapping

from optimize.data.report import spoken
from optimize.judging.agreement import top_k_hits
from optimize.judging.predictions import Predictions
from optimize.training.network.network import Network
from optimize.training.recipe import Recipe

_CLASSES_SHOWN = 40


def card(
    recipe: Recipe,
    name: str,
    network: Network,
    splits: Mapping[str, Predictions],
    temperature: float,
    fingerprint: str,
    *,
    epochs: int,
    epoch: int,
) -> str:
    """Markdown.

    Args:
        network: of this bundle's task alone.
        splits: "val" and, where there is one, "test".
        fingerprint: of the data.
        epochs: that were trained.
        epoch: whose weights these are, from 1.
    """
    task, spec = network.tasks[0], network.spec
    parameters = sum(parameter.numel() for parameter in network.module.parameters())
    shown = ", ".join(task.classes[:_CLASSES_SHOWN]) + (", …" if len(task.classes) > _CLASSES_SHOWN else "")
    technique = [one.name for kind in (recipe.augment, recipe.mix) for one in kind]
    objective = [one.name for kind in (recipe.loss, recipe.term) for one in kind]
    length = _epochs(recipe.train.epochs, epochs, epoch)
    return "\n".join(
        [
            f"# {name}",
            "",
            f"{network.architecture.name}, FP32, {parameters:,} parameters.",
            f"It takes {spec.height}×{spec.width} px, {spec.colour}.",
            f"It tells {len(task.classes)} classes apart: {shown}.",
            "",
            "## Accuracy",
            "",
            "| pictures | n | top-1 | 95 % interval |",
            "|---|---|---|---|",
            *(_row(split, predictions) for split, predictions in splits.items()),
            "",
            "Choices were made on the validation pictures, which therefore flatter; test pictures were looked at once.",
            f"Logits are divided by a temperature of {temperature:.4f}, fitted on the validation pictures.",
            "",
            "## Training",
            "",
            f"- {length}, {recipe.optimiser.name}, {recipe.schedule.name}, seed {recipe.seed}",
            f"- losses and terms: {', '.join(objective)}; augmentation: {', '.join(technique) or 'none'}",
            *(f"- {note}" for note in network.notes),
            f"- data: fingerprint {fingerprint}",
            f"- source: {recipe.source or 'not stated'}",
            f"- licence: {recipe.licence}",
            "",
            "## Limits",
            "",
            "Every picture is given one of these classes, whatever is on it. Nothing is known about pictures of",
            "another kind than those of the data, nor about people or places that the data lack.",
            "",
        ]
    )


def _epochs(planned: int, trained: int, taken: int) -> str:
    early = f" of {planned} planned" if trained < planned else ""
    return f"{trained} epochs{early}" + (f", the weights after epoch {taken}" if taken < trained else "")


def _row(split: str, predictions: Predictions) -> str:
    share = top_k_hits(predictions.logits, predictions.labels)
    low, high = share.ci95
    named = spoken(split)
    return f"| {named} | {len(predictions):,} | {100 * share.value:.1f} % | {100 * low:.1f} to {100 * high:.1f} % |"
