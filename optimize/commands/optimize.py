"""``quickeye optimize``: from a model, photos and a budget to faster models, with the evidence."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from model_zoo.errors import ModelZooError
from model_zoo.store_flag import store_to_read
from optimize.commands.optimize_flags import is_recipe, make_parser, planned, recipe_content, run_name, usage_fault
from optimize.errors import OptimizeError, RecipeError, libraries_for
from server.backends.errors import BackendError

if TYPE_CHECKING:
    from optimize.candidates.recipe import OptimizeRecipe
    from optimize.candidates.result import Result

INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    """Run the command; 0: a candidate keeps the budget, 1: none does, or it failed, 2: usage, 130: Ctrl-C."""
    parser = make_parser()
    flags = parser.parse_args(arguments)
    if fault := usage_fault(flags):
        parser.error(fault)
    begun = time.monotonic()
    try:
        with libraries_for("optimising"):
            from model_zoo.memory_allocator import TRAINING, keep_freed_memory

            keep_freed_memory(TRAINING)
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


def _run(flags: argparse.Namespace, begun: float) -> int:
    from optimize.candidates.opening import KIND, open_bench, open_parent
    from optimize.candidates.recipe import parse_optimize_recipe
    from optimize.candidates.run import Run
    from optimize.candidates.writing import write_all
    from optimize.training.compound_run import refuse_strangers
    from optimize.training.real_tools import real_tools
    from optimize.training.run_folder import RunFolder
    from optimize.training.run_state import alone

    content = recipe_content(flags) if is_recipe(flags.model) else None
    word = str(content.get("model", "")) if content is not None else flags.model
    folder: Path = flags.out or Path("runs") / run_name(content, word)
    refuse_strangers(folder, KIND)  # before a zoo entry's bundle is made in it
    parent = open_parent(word, store_to_read(flags.store), folder)
    if content is None:
        content = planned(flags, word, parent)
    if flags.store is not None:
        content["model"] = str(parent.folder)  # so that recipe.toml names it without the flag
    recipe = parse_optimize_recipe(content, origin=flags.model)
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


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _as_text(result: "Result", recipe: "OptimizeRecipe", folder: Path) -> str:
    from optimize.candidates.text import as_text

    return as_text(result, recipe, folder)
