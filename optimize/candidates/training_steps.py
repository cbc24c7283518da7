"""Steps that train: what was pruned or resized recovers, a smaller network learns; the parent teaches.

Each is an ordinary training run, in the step's folder: resumed where it was, with its own
report. Its recipe is the usual one of this kind of pictures, then the tables that
``[finetune]`` of the optimising recipe gives, then the step's own settings. Where the network
comes with zeros that were put there (``LEAST_ZEROS``), these stay.
"""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from model_zoo.bundle import Bundle
from optimize.candidates.bench import Bench
from optimize.candidates.recipe import OptimizeRecipe
from optimize.candidates.resize import Side
from optimize.candidates.steps import Content
from optimize.choice import Choice
from optimize.errors import RecipeError
from optimize.training.bundle_at import bundle_at
from optimize.training.recipe import parse_recipe

# Of fewer weights that are 0, it is chance.
LEAST_ZEROS = 0.01
HELD: Content = {"share": 0.0}
Epochs = Annotated[int, Field(ge=1, le=100_000)]

USUAL: Content = {
    "augment": [{"name": "flip"}],
    "loss": [{"name": "cross_entropy", "weight": 0.2}],
    "term": [{"name": "soft_label", "weight": 0.8, "temperature": 2.0}],
    "optimiser": {"name": "adamw", "lr": 0.0005, "weight_decay": 0.02},
    "schedule": {"name": "cosine", "warmup": 0.1},
    "train": {"batch_size": 64, "ema": 0.99, "clip_norm": 1.0},
}


class Finetune(Choice):
    """Train what the steps before have made, on the training pictures.

    Attributes:
        called: in messages.
        forced: of ``[train]``, whatever the recipe says.
        epochs: passes over them.
        lr: learning rate; as ``[finetune]`` or the usual one says by default.
        taught: the parent teaches beside the labels; without, the labels alone do.
    """

    called: ClassVar[str] = "finetune"
    forced: ClassVar[Content] = {}

    epochs: Epochs = 3
    lr: Annotated[float, Field(gt=0)] | None = None
    taught: bool = True

    def tables(self) -> Content:
        """Of the training recipe, beside ``[train]``, whatever else says of them."""
        return {}

    def make(self, bundle: Bundle, bench: Bench, folder: Path) -> Bundle:
        """See ``StepChoice``."""
        from optimize.candidates.float_network import float_network
        from optimize.training.sparsity.layers import zero_share

        network = float_network(bundle, self.called)
        model = {
            "architecture": network.architecture.name,
            "arguments": {k: v for k, v in network.architecture.arguments.items() if k != "num_classes"},
            "weights": str(bundle.folder),
        }
        return _trained(self, model, bench, folder, has_zeros=zero_share(network.module) >= LEAST_ZEROS)


class Student(Choice):
    """Another, smaller network of the zoo learns what the parent says; the steps before it do not count.

    Attributes:
        architecture, arguments: as ``[model]`` of a training recipe.
        weights: "pretrained", or none.
        height, width: px, the architecture's own by default, the width as the height. The teacher sees pictures at
            its own size.
        epochs, lr, taught: as of ``Finetune``.
    """

    architecture: str
    arguments: dict[str, int | float | str | bool] = Field(default={})
    weights: str | None = None
    height: Side | None = None
    width: Side | None = None
    epochs: Epochs = 20
    lr: Annotated[float, Field(gt=0)] | None = None
    taught: bool = True

    def make(self, bundle: Bundle, bench: Bench, folder: Path) -> Bundle:
        """See ``StepChoice``."""
        model: Content = {"architecture": self.architecture, "arguments": self.arguments}
        own = {"weights": self.weights, "height": self.height, "width": self.width or self.height}
        model.update({key: value for key, value in own.items() if value is not None})
        return _trained(self, model, bench, folder)


def _trained(
    step: Finetune | Student, model: Content, bench: Bench, folder: Path, *, has_zeros: bool = False
) -> Bundle:
    from optimize.training.compound_run import without_test

    content = training_content(step, model, bench.recipe, bench.parent)
    if has_zeros:
        content.setdefault("sparsity", HELD)
    bench.train(parse_recipe(content, origin="[finetune]"), folder / "run", data=without_test(bench.data))
    return bundle_at(folder / "run")


def training_content(step: Finetune | Student, model: Content, recipe: OptimizeRecipe, parent: Bundle) -> Content:
    """The tables of the step's training recipe, not validated yet.

    Args:
        model: what is this step's own of ``[model]``.
    Raises:
        RecipeError: ``[finetune]`` has a value where a table belongs.
    """
    said = recipe.finetune
    forced, tables = (step.forced, step.tables()) if isinstance(step, Finetune) else ({}, {})
    own = {**USUAL, **said}
    own["train"] = {**USUAL["train"], **_table(said, "train"), **forced, "epochs": step.epochs}
    if step.lr is not None:
        optimiser = own["optimiser"]
        own["optimiser"] = {**(optimiser if isinstance(optimiser, dict) else {"name": optimiser}), "lr": step.lr}
    if step.taught:
        own["teacher"] = {"source": str(parent.folder), **_table(said, "teacher")}
    else:
        own.pop("teacher", None)
        own["term"] = said.get("term", [])
        own["loss"] = said.get("loss", [{"name": "cross_entropy"}])
    return {
        **own,
        **tables,
        "name": recipe.name,
        "seed": recipe.seed,
        "licence": parent.spec.licence,
        "source": parent.spec.source,
        "data": recipe.to_content()["data"],
        "model": {**_table(said, "model"), **model},
    }


def _table(said: Content, key: str) -> Content:
    table = said.get(key, {})
    if not isinstance(table, dict):
        raise RecipeError(f"finetune.{key} is a table of settings, not {table!r}")
    return table
