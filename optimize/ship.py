"""Puts a run's published bundle among those of the package: ``python -m optimize.ship RUN`` (``make bundle``).

The run is one of ``quickeye optimize`` whose recipe has ``[publish]``; it has made and judged the bundle. What is
shipped already stays where it is of the same model and was judged by more pictures: on a machine without the
photos that guarded it, making it again proves that it can be made, and loses none of its figures.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from model_zoo.bundle import Bundle, read_bundle
from model_zoo.errors import ModelZooError
from model_zoo.store import Store, shipped_store
from optimize.errors import OptimizeError, RunError
from optimize.store_swap import swap_store


def ship(run: Path, store: Path) -> tuple[Bundle, bool]:
    """Copy it, in place of the same version if that is there.

    Returns:
        What is in ``store`` then, and whether it is the run's.
    Raises:
        RunError: the run is not finished, or nothing in it kept the budget; or the disk refused.
        ModelZooError: the run's bundle is broken.
    """
    made = _best(run)
    target = store / made.spec.name / str(made.spec.version)
    shipped = _shipped(store, made)
    if shipped is not None and shipped.read_model() == made.read_model() and _judged_by(shipped) > _judged_by(made):
        return shipped, False
    new = target.with_name(f".{target.name}-new")
    try:
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(made.folder, new)
    except OSError as error:
        raise RunError(f"{new} can't be written: {error}") from error
    swap_store(new, target)
    return read_bundle(target), True


def _best(run: Path) -> Bundle:
    try:
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{run} holds no finished run of quickeye optimize: {error}") from error
    try:
        best = next((one for one in result["candidates"] if one["name"] == result["best"]), None)
    except (KeyError, TypeError) as error:
        raise RunError(f"{run} holds no run of quickeye optimize: its result.json is of another kind") from error
    if best is None:
        raise RunError(f"{run}: no candidate kept the budget, so there is nothing to ship")
    name, version = Path(best["bundle"]).parts[-2:]  # the run may have been moved since
    return read_bundle(run / "store" / name / version)


def _shipped(store: Path, made: Bundle) -> Bundle | None:
    name, version = made.spec.name, made.spec.version
    return Store(store).open(name, version) if version in Store(store).versions(name) else None


def _judged_by(bundle: Bundle) -> int:
    return max((one.n for one in bundle.manifest.accuracy), default=0)


def main(arguments: list[str] | None = None) -> int:
    """The program; 0 when the bundle is there, 1 when it failed."""
    parser = argparse.ArgumentParser(prog="python -m optimize.ship", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run of quickeye optimize")
    parser.add_argument("--store", type=Path, default=shipped_store().root, help="where to (default: the shipped ones)")
    chosen = parser.parse_args(arguments)
    try:
        bundle, is_new = ship(chosen.run, chosen.store)
    except (OptimizeError, ModelZooError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    told = "made anew" if is_new else "the same model as made here; it stays, judged by more pictures than here"
    print(f"{bundle.folder}: {told}, {bundle.size_bytes / 1e6:.2f} MB, fingerprint {bundle.fingerprint[:16]}")
    for one in bundle.manifest.accuracy:
        print(f"  {one.dataset} {one.split}, {one.metric}: {one.value:.4f} of {one.n}, 95 % {one.ci95}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
