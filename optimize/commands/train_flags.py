"""The flags of ``quickeye train``: each fills a field of the recipe, ``--set`` any field."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optimize.commands.smoke import FEW_PICTURES, with_little_held_out
from optimize.errors import RecipeError

Content = dict[str, Any]

# flag's name in the namespace → the recipe's field
FIELDS = {
    "data": "data.train",
    "val": "data.val",
    "test": "data.test",
    "target": "data.target",
    "arch": "model.architecture",
    "weights": "model.weights",
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "lr": "optimiser.lr",
    "seed": "seed",
    "device": "train.device",
    "threads": "train.threads",
    "name": "name",
}
SMOKE: Content = {
    **FEW_PICTURES,
    "train.epochs": 2,
    "train.max_steps": 2,
    "train.batch_size": 8,
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """All of them, in groups."""
    parser.add_argument(
        "recipe", nargs="?", metavar="RECIPE", help="a TOML file, or the name of a recipe that comes with Quickeye"
    )
    _add_data_flags(parser.add_argument_group("data"))
    _add_training_flags(parser.add_argument_group("training (each of these also is a field of the recipe)"))
    _add_run_flags(parser.add_argument_group("the run"))


def _add_data_flags(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--data", metavar="DIR", help="folder of class folders, IDX files, or a CSV or JSONL manifest to train on"
    )
    group.add_argument("--val", metavar="DIR", help="to validate with (default: a tenth of --data, by the seed)")
    group.add_argument("--test", metavar="DIR", help="to judge with, once, at the end")
    group.add_argument("--target", metavar="DIR", help="unlabelled pictures from where the model will be used")


def _add_training_flags(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--arch", metavar="NAME", help="an architecture (default: efficientnet_lite0; IDX data: grey28)")
    weights = group.add_mutually_exclusive_group()
    weights.add_argument(
        "--pretrained",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="start from the architecture's published weights (the default for photos where it has some)",
    )
    weights.add_argument("--weights", metavar="PATH", help="start from a checkpoint, a bundle or an earlier run")
    group.add_argument("--epochs", type=int, metavar="N", help="passes over the pictures (default: 12; IDX data: 20)")
    group.add_argument("--batch-size", type=int, metavar="N", help="pictures of one step (default: 32; IDX data: 128)")
    group.add_argument("--lr", type=float, metavar="RATE", help="learning rate (default: 0.001; IDX data: 0.1)")
    group.add_argument("--seed", type=int, metavar="N", help="of every random number (default: 1)")
    group.add_argument("--device", metavar="D", help="auto, cpu, cuda, cuda:1 (default: auto)")
    group.add_argument("--threads", type=int, metavar="N", help="of the CPU (default: torch's own)")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="any field of the recipe, such as optimiser.weight_decay=0.01 or augment.flip.horizontal=0 (repeatable)",
    )


def _add_run_flags(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--out", type=Path, metavar="RUN", help="folder of the run (default: runs/NAME)")
    group.add_argument(
        "--name", help="of the bundle (default: the data folder's name; of photos, train and the like, their parent's)"
    )
    group.add_argument("--smoke", action="store_true", help="a few batches of a few pictures, to see that all is well")
    group.add_argument(
        "--show-augmentations",
        type=Path,
        metavar="FILE.png",
        help="draw what the recipe does to some of the pictures, and train nothing",
    )
    group.add_argument("--recipes", action="store_true", help="list the recipes that come with Quickeye")
    group.add_argument("--json", action="store_true", help="the result as JSON on stdout")


def content_of(flags: argparse.Namespace) -> Content:
    """The recipe's tables that the command line asks for, not validated yet.

    Raises:
        RecipeError: nothing to train on, no such recipe, or a ``--set`` that leads nowhere.
    """
    from optimize.training.recipe_file import read_content, with_value

    content = read_content(flags.recipe) if flags.recipe else _defaults(flags)
    for flag, field in FIELDS.items():
        value = getattr(flags, flag)
        if value is not None:
            content = with_value(_started(content, field), field, value)
    if flags.pretrained is not None:
        content = _with_weights(content, "pretrained" if flags.pretrained else None)
    model = _with_settings(content, flags.settings).get("model")
    if not flags.recipe and isinstance(model, dict) and not model.get("weights"):
        content = _from_nothing(content)
    for field, value in SMOKE.items() if flags.smoke else ():
        content = with_value(content, field, value)
    content = _with_settings(content, flags.settings)
    return _named(with_little_held_out(content) if flags.smoke else content)


def _with_settings(content: Content, settings: Sequence[str]) -> Content:
    from optimize.training.recipe_file import with_setting

    for assignment in settings:
        content = with_setting(content, assignment)
    return content


def _from_nothing(content: Content) -> Content:
    """The default for published weights has the first layers learn slower; drawn ones have all to learn."""
    transfer = {key: value for key, value in content.get("transfer", {}).items() if key != "layer_decay"}
    return {**content, "transfer": transfer} if transfer else content


def _defaults(flags: argparse.Namespace) -> Content:
    from optimize.training.defaults import default_content

    if flags.data is None:
        raise RecipeError("nothing to train on: name a folder with --data DIR, or a recipe (--recipes lists some)")
    content = default_content(Path(flags.data))
    other = flags.arch is not None and flags.arch != content["model"]["architecture"]
    return _for_architecture(content, flags.arch) if other else content


def _for_architecture(content: Content, architecture: str) -> Content:
    """Another network than the default's: its published weights where there are any, and only what suits all."""
    from model_zoo.weights import CUT_SHORT, PRETRAINED

    model = {"architecture": architecture}
    if content["model"].get("weights") and architecture in {*PRETRAINED, *CUT_SHORT}:
        model["weights"] = "pretrained"
    return {**content, "model": model}


def _started(content: Content, field: str) -> Content:
    """A flag below an entry that the recipe leaves to its default: ``--lr`` needs an optimiser's name."""
    return {"optimiser": "adamw", **content} if field.startswith("optimiser.") else content


def _with_weights(content: Content, weights: str | None) -> Content:
    model = {key: value for key, value in content.get("model", {}).items() if key != "weights"}
    return {**content, "model": {**model, "weights": weights} if weights else model}


def _named(content: Content) -> Content:
    from optimize.training.defaults import bundle_name

    if "name" in content:
        return content
    train = content.get("data", {}).get("train")
    if train is None:
        raise RecipeError("nothing to train on: name a folder with --data DIR, or in the recipe as data.train")
    return {"name": bundle_name(Path(train[0] if isinstance(train, list) else train)), **content}
