"""``quickeye train``: from a folder of photos, or a recipe, to a bundle and a report."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_zoo.memory_allocator import TRAINING, keep_freed_memory
from optimize.commands.train_flags import add_flags, content_of
from optimize.errors import OptimizeError, RecipeError, libraries_for

if TYPE_CHECKING:
    from optimize.training.finished import Finished
    from optimize.training.recipe import Recipe

INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    """Train; returns the exit code: 0, 1 (failed), 2 (the command line or the recipe is wrong), 130 (Ctrl-C)."""
    parser = argparse.ArgumentParser(
        prog="quickeye train",
        usage="quickeye train --data DIR [--out RUN] [options]\n       quickeye train RECIPE [--out RUN] [options]",
        description="Train or fine-tune a model on your own pictures. The result is a folder with a bundle that "
        "`quickeye serve` serves and a report. The same command on a run that was interrupted goes on with it.",
        epilog="Everything that a recipe can say, and what each technique's settings are: docs/training.md.",
    )
    add_flags(parser)
    flags = parser.parse_args(arguments)
    keep_freed_memory(TRAINING)
    from model_zoo.errors import ModelZooError

    folder: Path | None = None
    try:
        with libraries_for("training"):
            if flags.recipes:
                return _list_recipes()
            recipe = _recipe(flags)
            folder = flags.out or Path("runs") / recipe.name
            return _run(recipe, folder, flags)
    except RecipeError as error:
        print(f"quickeye train: {error}", file=sys.stderr)
        return 2
    except (OptimizeError, ModelZooError) as error:
        print(f"quickeye train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted; {_how_to_continue(folder)}", file=sys.stderr)
        return INTERRUPTED


def _recipe(flags: argparse.Namespace) -> "Recipe":
    from optimize.training.recipe import parse_recipe

    return parse_recipe(content_of(flags), origin=flags.recipe or "the command line")


def _run(recipe: "Recipe", folder: Path, flags: argparse.Namespace) -> int:
    if flags.show_augmentations:
        return _show_augmentations(recipe, flags.show_augmentations)
    if recipe.search or recipe.ensemble or recipe.cross_validation:
        from optimize.commands.train_compound import run_compound

        return run_compound(recipe, folder, as_json=flags.json)
    from optimize.training.reporter import reporter_for
    from optimize.training.trainer import train

    finished = train(recipe, folder, reporter=reporter_for(sys.stderr))
    if flags.json:
        print(json.dumps(as_json(recipe, finished), indent=2))
    else:
        print(as_text(recipe, finished))
    return 0


def _show_augmentations(recipe: "Recipe", file: Path) -> int:
    from optimize.training.augmentation_sheet import write_sheet_of

    print(write_sheet_of(recipe, file))
    return 0


def as_json(recipe: "Recipe", finished: "Finished") -> dict[str, Any]:
    """What ``--json`` prints; rates are fractions."""
    return {
        "run": str(finished.folder.root),
        "name": recipe.name,
        "bundle": str(finished.bundle) if finished.bundle else None,
        "epochs": len(finished.rows),
        "best_epoch": finished.best_epoch,
        "val_top1": finished.val_top1,
        "test_top1": finished.test_top1,
        "temperature": finished.temperature,
        "report": str(finished.folder.report),
        "was_finished": finished.was_finished,
    }


def as_text(recipe: "Recipe", finished: "Finished") -> str:
    """What a person is told in the end."""
    folder = finished.folder
    head = f"{folder.root}: this run was finished before; nothing was done" if finished.was_finished else ""
    lines = [
        head,
        *_shares(finished),
        f"report   {folder.report}",
        f"bundle   {finished.bundle}" if finished.bundle else "",
        f"serve    quickeye serve --store {folder.store}" if finished.bundle else "",
    ]
    return "\n".join(line for line in lines if line)


def _shares(finished: "Finished") -> list[str]:
    """``40.0 % of 20 validation pictures are right (95 % interval 21.9 to 61.3)``, and so of the test pictures."""
    from optimize.judging.run_judgement import RunJudgement

    path = finished.folder.judgement
    known = RunJudgement.load(path) if path.exists() else RunJudgement()
    sets = [("validation", finished.val_top1, known.val), ("test", finished.test_top1, known.test)]
    lines = []
    for name, top1, judgement in sets:
        if top1 is None:
            continue
        many = f"{judgement.n:,} " if judgement else "the "
        edges = judgement.top1.ci95 if judgement else None
        interval = f" (95 % interval {100 * edges[0]:.1f} to {100 * edges[1]:.1f})" if edges else ""
        lines.append(f"{100 * top1:.1f} % of {many}{name} pictures are right{interval}")
    return lines


def _list_recipes() -> int:
    from optimize.training.recipe_file import shipped_recipes

    print("\n".join(shipped_recipes()))
    return 0


def _how_to_continue(folder: Path | None) -> str:
    from optimize.training.checkpoint_names import checkpoints
    from optimize.training.run_folder import RunFolder

    saved = checkpoints(RunFolder(folder).checkpoints) if folder else []
    if not saved:
        return "no epoch was finished, so that the same command begins anew"
    epoch = int(saved[-1].stem.removeprefix("epoch-"))
    return f"the same command goes on after epoch {epoch}"
