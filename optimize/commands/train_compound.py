"""``quickeye train`` of a recipe with ``[search]``, ``[ensemble]`` or ``[cross_validation]``."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimize.errors import MissingLibraryError, RecipeError

if TYPE_CHECKING:
    from optimize.training.recipe import Recipe

INTERRUPTED = 130


def run_compound(recipe: "Recipe", folder: Path, *, as_json: bool = False) -> int:
    """Run it, or go on with it; returns the exit code: 0, or 130 after Ctrl-C.

    Raises:
        RecipeError: more than one of the three.
        OptimizeError: it failed; the message says why.
    """
    asked = [name for name in ("search", "ensemble", "cross_validation") if getattr(recipe, name) is not None]
    if len(asked) != 1:
        raise RecipeError(f"a recipe has one of search, ensemble and cross_validation; this one has {', '.join(asked)}")
    run = {"search": _search, "ensemble": _ensemble, "cross_validation": _folds}[asked[0]]
    try:
        content, text = run(recipe, folder)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with what is not finished", file=sys.stderr)
        return INTERRUPTED
    print(json.dumps({"run": str(folder), **content}, indent=2) if as_json else text)
    return 0


def _search(recipe: "Recipe", folder: Path) -> tuple[dict[str, Any], str]:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise MissingLibraryError("a search needs optuna: pip install 'quickeye[optimize]'") from error
    from optimize.search.run import run_search
    from optimize.search.workers import search_together
    from optimize.training.real_tools import real_tools

    together = recipe.search is not None and recipe.search.workers > 1
    result = search_together(recipe, folder) if together else run_search(recipe, folder, real_tools(shows_epochs=True))
    if result.best is None:
        return result.to_json(), f"no trial is complete yet; the same command goes on in {folder}"
    best = result.trial(result.best)
    lines = [
        f"best of {len(result.trials)} trials: {result.best}, "
        + ", ".join(f"{name} {value:.4g}" for name, value in zip(result.objectives, best.values, strict=True)),
        *(f"  {path} = {value!r}" for path, value in best.parameters.items()),
        f"report   {folder / 'search.html'}",
        f"its run  {folder / 'trials' / f'{result.best:04}'}",
        f"serve    quickeye serve --store {folder / 'store'}",
    ]
    return result.to_json(), "\n".join(lines)


def _ensemble(recipe: "Recipe", folder: Path) -> tuple[dict[str, Any], str]:
    from optimize.ensembles.run import train_ensemble
    from optimize.training.real_tools import real_tools

    result = train_ensemble(recipe, folder, real_tools(shows_epochs=True))
    found: dict[str, Any] = json.loads((folder / "ensemble.json").read_text(encoding="utf-8"))
    figures = result.figures["val"]
    lines = [
        f"member {one.name}: top-1 on the validation pictures {100 * one.top1:.1f} %; {one.versus['verdict']}"
        for one in figures.members
    ]
    low, high = figures.ci95
    lines += [
        f"the ensemble: {100 * figures.top1:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f}",
        f"report   {folder / 'report.html'}",
        f"bundle   {result.bundle}",
        f"serve    quickeye serve --store {folder / 'store'}",
    ]
    return {**found, "bundle": str(result.bundle)}, "\n".join(lines)


def _folds(recipe: "Recipe", folder: Path) -> tuple[dict[str, Any], str]:
    from optimize.training.cross_validation import cross_validate
    from optimize.training.real_tools import real_tools

    result = cross_validate(recipe, folder, real_tools(shows_epochs=True))
    found: dict[str, Any] = json.loads((folder / "cross_validation.json").read_text(encoding="utf-8"))
    (low, high), (pooled_low, pooled_high) = result.ci95, result.pooled_ci95
    lines = [
        *(f"fold {number}: top-1 {100 * value:.1f} %" for number, value in enumerate(result.folds, 1)),
        f"mean of the folds {100 * result.mean:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f}",
        f"all {result.n:,} pictures together {100 * result.pooled:.1f} %, 95 % interval "
        f"{100 * pooled_low:.1f} to {100 * pooled_high:.1f}",
        f"report   {folder / 'report.html'}",
    ]
    if result.bundle is not None:
        lines.append(f"bundle   {result.bundle}")
    return found, "\n".join(lines)
