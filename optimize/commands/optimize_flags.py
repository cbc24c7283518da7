"""The flags of ``quickeye optimize``: what they make of a recipe's tables, or of the plan where there is no recipe."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimize.candidates.plan import EPOCHS
from optimize.commands.smoke import FEW_PICTURES, with_little_held_out
from optimize.errors import RecipeError
from server.backends import BACKENDS

if TYPE_CHECKING:
    from model_zoo.bundle import Bundle

Content = dict[str, Any]

# Of the photos of --data: so many choose and guard, half each, where no split is given.
JUDGING_SHARE = 0.3
SMOKE: Content = {
    **FEW_PICTURES,
    "finetune.train.max_steps": 2,
    "finetune.train.batch_size": 8,
    "measure.seconds": 0.1,
}


def make_parser() -> argparse.ArgumentParser:
    """The command's flags."""
    parser = argparse.ArgumentParser(
        prog="quickeye optimize",
        usage="quickeye optimize MODEL --data DIR --max-drop POINTS [--out RUN] [options]\n"
        "       quickeye optimize RECIPE [--out RUN] [options]",
        description="Make a model faster and smaller, by no more than the accuracy that you allow. Every candidate is "
        "measured on this machine; those worth having are bundles in RUN/store. The same command on a run that "
        "was interrupted goes on with it.",
        epilog="What is tried, and how it is judged: docs/optimize.md.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="NAME or NAME/VERSION of the store, a bundle's or a run's folder, an "
        "architecture with published weights (zoo:NAME); or a recipe: a file that ends in .toml, a shipped one's name",
    )  # fmt: skip
    parser.add_argument("--data", metavar="DIR", help="folder of class folders, IDX files, CSV or JSONL")
    parser.add_argument("--val", metavar="DIR", help="pictures that choose (default: some of --data, by the seed)")
    parser.add_argument("--test", metavar="DIR", help="pictures that guard (default: half of those that choose)")
    parser.add_argument("--unlabelled", action="store_true", help="labels are not looked at: keep what MODEL says")
    parser.add_argument("--max-drop", type=float, metavar="POINTS", help="top-1 that may be lost (1.0)")
    parser.add_argument("--strict", action="store_true", help="the interval's bad end must be within, too")
    parser.add_argument(
        "--epochs", type=_count, metavar="N", help=f"of each recovery by training ({EPOCHS}); a recipe has its own"
    )
    parser.add_argument(
        "--time-limit", type=_minutes, metavar="MIN",
        help="begin nothing new after so many minutes; until then, without a recipe, search on after the plan",
    )  # fmt: skip
    parser.add_argument(
        "--device", choices=("auto", "cpu"), default="auto", help="where candidates are measured: the CPU"
    )
    parser.add_argument("--backend", choices=("auto", *BACKENDS), default="auto", help="engine to measure on (auto)")
    parser.add_argument("--store", type=Path, metavar="DIR", help="folder of bundles (default: the shipped bundles)")
    parser.add_argument("--seed", type=int, metavar="N", help="of every random number (1)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
        help="any field of the recipe, such as data.hold_out=1000 or budget.max_drop=0.5 (repeatable)",
    )  # fmt: skip
    parser.add_argument("--smoke", action="store_true", help="every step with next to nothing, to see that all is well")
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder of the run (default: runs/NAME)")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    return parser


def usage_fault(flags: argparse.Namespace) -> str:
    """What is wrong with the flags together; nothing where they go together."""
    if not is_recipe(flags.model) and flags.data is None:
        return "name the pictures with --data DIR"
    if is_recipe(flags.model) and flags.epochs is not None:
        return "--epochs is for the plan without a recipe; write it into the recipe's steps"
    return ""


def is_recipe(word: str) -> bool:
    """A file's name that ends in .toml, or a shipped recipe's where there is no such folder."""
    from optimize.training.recipe_file import shipped_recipes

    return word.endswith(".toml") or (word in shipped_recipes("candidate") and not Path(word).exists())


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a count; give 1 or more")
    return value


def _minutes(text: str) -> float:
    if not (value := float(text)) > 0:
        raise argparse.ArgumentTypeError(f"{text} minutes are none; leave the flag out for no limit")
    return value


def recipe_content(flags: argparse.Namespace) -> Content:
    """The tables of the recipe that is named, with what the flags say; not validated yet.

    Raises:
        RecipeError: no such recipe, no model in it, or a ``--set`` that leads nowhere.
    """
    from optimize.training.recipe_file import read_content

    content = read_content(flags.model, "candidate")
    for key in ("data", "budget", "measure"):
        if not isinstance(content.get(key, {}), dict):
            raise RecipeError(f"{flags.model}: {key} is a table of settings, not {content[key]!r}")
    if flags.data is not None:
        content["data"] = {**content.get("data", {}), "train": flags.data}
    content = _said(content, flags)
    if not content.get("model"):
        raise RecipeError(f'{flags.model}: there is no model; write model = "NAME", or a folder')
    return content


def run_name(content: Content | None, word: str) -> str:
    """What the run's folder is called, where nobody says."""
    if content is not None:
        return str(content.get("name", "optimized"))
    return _word_name(word)


def _word_name(word: str) -> str:
    from optimize.candidates.opening import exists
    from optimize.training.defaults import bundle_name

    return bundle_name(Path(word if exists(Path(word)) else word.removeprefix("zoo:").partition("/")[0]))[:24]


def planned(flags: argparse.Namespace, word: str, parent: "Bundle") -> Content:
    """The tables of the plan where there is no recipe, with what the flags say.

    Raises:
        RecipeError: a ``--set`` that leads nowhere.
    """
    from optimize.candidates.plan import MANY, plan

    content = {
        "name": run_name(None, word),
        "model": word,
        "data": {"train": flags.data, "val_share": JUDGING_SHARE},
        "candidate": plan(parent, flags.epochs or EPOCHS),
        "rescue": True,
        "search": {"candidates": MANY if flags.time_limit is not None else 0},
    }
    return _said(content, flags)


def _said(content: Content, flags: argparse.Namespace) -> Content:
    """What the command line says of the tables; ``--set`` has the last word."""
    from optimize.training.recipe_file import with_setting

    content = _with_flags(content, flags)
    if flags.smoke:
        content = _smoke(content, flags.model)
    for assignment in flags.settings:
        content = with_setting(content, assignment)
    return with_little_held_out(content) if flags.smoke else content


def _smoke(content: Content, origin: str) -> Content:
    """The same steps, of which each learns, measures and is shown next to nothing."""
    from optimize.candidates.recipe import parse_optimize_recipe
    from optimize.training.recipe_file import with_value

    content = parse_optimize_recipe(content, origin=origin).to_content()
    for field, value in SMOKE.items():
        content = with_value(content, field, value)
    if isinstance(content["calibration"], int):
        content["calibration"] = 8
    for step in (step for one in content["candidate"] for step in one["steps"]):
        if "epochs" in step:
            step["epochs"] = 1
    return content


def _with_flags(content: Content, flags: argparse.Namespace) -> Content:
    """The recipe's tables, and what the command line says beside them."""
    from optimize.candidates.publishing import set_name

    data = {key: value for key in ("val", "test") if (value := getattr(flags, key)) is not None}
    budget: dict[str, Any] = {"strict": True} if flags.strict else {}
    for field, value in (("max_drop", flags.max_drop), ("minutes", flags.time_limit)):
        if value is not None:
            budget[field] = float(value)
    measure = {} if flags.backend == "auto" else {"backend": flags.backend}
    plain: dict[str, Any] = {} if flags.seed is None else {"seed": flags.seed}
    if flags.unlabelled:
        plain["labelled"] = False
    tables = {"data": data, "budget": budget, "measure": measure}
    if isinstance(content.get("publish"), dict):  # its names are of the recipe's own pictures
        judged = flags.val or (flags.data if content.get("data", {}).get("val") is None else None)
        given = {"dataset": judged, "test_dataset": flags.test}
        tables["publish"] = {key: set_name(Path(path)) for key, path in given.items() if path is not None}
    return {**content, **plain, **{key: {**content.get(key, {}), **own} for key, own in tables.items()}}
