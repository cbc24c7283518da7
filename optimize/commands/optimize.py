"""``quickeye optimize``: from a model, photos and a budget to faster models, with the evidence."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_zoo.errors import ModelZooError
from model_zoo.store_flag import store_to_read
from optimize.candidates.plan import EPOCHS
from optimize.errors import OptimizeError, RecipeError, libraries_for
from server.backends import BACKENDS
from server.backends.errors import BackendError

if TYPE_CHECKING:
    from model_zoo.bundle import Bundle
    from optimize.candidates.recipe import OptimizeRecipe
    from optimize.candidates.result import Result

INTERRUPTED = 130
# Of the photos of --data: so many choose and guard, half each, where no split is given.
JUDGING_SHARE = 0.3


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
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder of the run (default: runs/NAME)")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; 0: a candidate keeps the budget, 1: none does, or it failed, 2: usage, 130: Ctrl-C."""
    parser = make_parser()
    flags = parser.parse_args(arguments)
    if fault := _usage_fault(flags):
        parser.error(fault)
    begun = time.monotonic()
    try:
        with libraries_for("optimising"):
            from optimize.training.memory_allocator import keep_freed_memory

            keep_freed_memory()
            return _run(flags, begun)
    except RecipeError as error:
        print(f"quickeye optimize: {error}", file=sys.stderr)
        return 2
    except (OptimizeError, ModelZooError, BackendError) as error:
        print(f"quickeye optimize: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it was", file=sys.stderr)
        return INTERRUPTED


def _usage_fault(flags: argparse.Namespace) -> str:
    """What is wrong with the flags together; nothing where they go together."""
    if not _is_recipe(flags.model) and flags.data is None:
        return "name the pictures with --data DIR"
    if _is_recipe(flags.model) and flags.epochs is not None:
        return "--epochs is for the plan without a recipe; write it into the recipe's steps"
    return ""


def _is_recipe(word: str) -> bool:
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


def _run(flags: argparse.Namespace, begun: float) -> int:
    from optimize.candidates.opening import KIND, open_bench, open_parent
    from optimize.candidates.recipe import parse_optimize_recipe
    from optimize.candidates.run import Run
    from optimize.candidates.writing import write_all
    from optimize.training.compound_run import refuse_strangers
    from optimize.training.real_tools import real_tools
    from optimize.training.run_folder import RunFolder
    from optimize.training.run_state import alone

    content = _read(flags) if _is_recipe(flags.model) else None
    word = str(content.get("model", "")) if content is not None else flags.model
    folder: Path = flags.out or Path("runs") / _name(content, word)
    refuse_strangers(folder, KIND)  # before a zoo entry's bundle is made in it
    parent = open_parent(word, store_to_read(flags.store), folder)
    if content is None:
        content = _planned(flags, word, parent)
    if flags.store is not None:
        content["model"] = str(parent.folder)  # so that recipe.toml names it without the flag
    recipe = parse_optimize_recipe(_with_flags(content, flags), origin=flags.model)
    bench = open_bench(recipe, folder, parent, real_tools(shows_epochs=True).train, _say)
    for warning in bench.data.report.warnings:
        _say(f"warning: {warning}")
    if parent.manifest.abstain is not None and recipe.abstain is None:
        _say('the model\'s score for "unknown" goes into no candidate; [abstain] in a recipe has one chosen for each')
    limit = recipe.budget.minutes
    with alone(RunFolder(folder)):
        run = Run(bench, has_time=lambda: not limit or time.monotonic() - begun < 60 * limit)
        result = write_all(run, bench)
    print(json.dumps(result.to_json(), indent=2) if flags.json else _as_text(result, recipe, folder))
    return 0 if result.best is not None else 1


def _read(flags: argparse.Namespace) -> dict[str, Any]:
    from optimize.training.recipe_file import read_content

    content = read_content(flags.model, "candidate")
    for key in ("data", "budget", "measure"):
        if not isinstance(content.get(key, {}), dict):
            raise RecipeError(f"{flags.model}: {key} is a table of settings, not {content[key]!r}")
    if flags.data is not None:
        content["data"] = {**content.get("data", {}), "train": flags.data}
    if not content.get("model"):
        raise RecipeError(f'{flags.model}: there is no model; write model = "NAME", or a folder')
    return content


def _name(content: dict[str, Any] | None, word: str) -> str:
    if content is not None:
        return str(content.get("name", "optimized"))
    return _word_name(word)


def _word_name(word: str) -> str:
    from optimize.candidates.opening import exists
    from optimize.training.defaults import bundle_name

    return bundle_name(Path(word if exists(Path(word)) else word.removeprefix("zoo:").partition("/")[0]))[:24]


def _planned(flags: argparse.Namespace, word: str, parent: "Bundle") -> dict[str, Any]:
    from optimize.candidates.plan import MANY, plan

    return {
        "name": _name(None, word),
        "model": word,
        "data": {"train": flags.data, "val_share": JUDGING_SHARE},
        "candidate": plan(parent, flags.epochs or EPOCHS),
        "rescue": True,
        "search": {"candidates": MANY if flags.time_limit is not None else 0},
    }


def _with_flags(content: dict[str, Any], flags: argparse.Namespace) -> dict[str, Any]:
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


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _as_text(result: "Result", recipe: "OptimizeRecipe", folder: Path) -> str:
    from optimize.candidates.text import as_text

    return as_text(result, recipe, folder)
