"""Trains the shipped recipes at full size, several seeds each, and writes what they reach: ``docs/results/``.

    python -m benchmarks.trained_models fashion_mnist --out runs/studies
    python -m benchmarks.trained_models clothing --clothing PHOTOS --out runs/studies

Each run is the command that a user types, in a process of its own, one after the other. A
study that is killed goes on where it was: runs that are finished are only read. The test
pictures are judged once a run, by the last epoch's averaged weights; nothing is chosen by
them. ``--only NAME`` trains one of the study's models, ``--list`` prints the commands.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import machine

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
SEEDS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Model:
    """One row of a study's table.

    Attributes:
        recipe: a shipped one.
        settings: of ``--set``, as they are.
        taught_by: the model whose run is the teacher.
        teacher_seed: of that run; None: each is taught by the run of its own seed.
        judged_on: "val" or "test".
    """

    name: str
    title: str
    recipe: str
    judged_on: str
    settings: tuple[str, ...] = ()
    taught_by: str | None = None
    teacher_seed: int | None = None
    seeds: tuple[int, ...] = SEEDS
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Study:
    """Models, teachers first; ``pairs``: (better, base) compared seed by seed."""

    name: str
    models: tuple[Model, ...]
    pairs: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = field(default=())


def fashion_mnist(_: Path | None) -> Study:
    """Nets under 100,000 and 25,000 parameters, the latter also taught by one of the former."""
    return Study(
        "fashion_mnist",
        (
            Model("large", "≤ 100 k parameters", "fashion_mnist", "test"),
            Model("small", "≤ 25 k parameters", "fashion_mnist_small", "test"),
            Model(
                "taught",
                "≤ 25 k, taught by the former",
                "fashion_mnist_taught",
                "test",
                taught_by="large",
                teacher_seed=1,
            ),
        ),
        pairs=(("taught", "small"),),
    )


def clothing(photos: Path | None) -> Study:
    """Lite0 on the data's own split, and on 2,409 of all photos with the student that it teaches."""
    if photos is None:
        raise SystemExit("error: name the folder of the clothing photos with --clothing")
    train, validation = photos / "train", photos / "validation"
    all_photos = (f'data.train=["{train}", "{validation}"]', "data.hold_out=1000", "data.val_share=0.05")
    return Study(
        "clothing",
        (
            Model(
                "lite0",
                "Lite0, the data's own split",
                "clothing",
                "val",
                flags=("--data", str(train), "--val", str(validation)),
            ),
            Model("parent", "Lite0, 1,000 photos held back", "clothing", "test", all_photos),
            Model(
                "student",
                "student of the parent, the same 1,000",
                "clothing_student",
                "test",
                all_photos,
                taught_by="parent",
            ),
        ),
        pairs=(("student", "parent"),),
    )


STUDIES = {"fashion_mnist": fashion_mnist, "clothing": clothing}


def command(study: Study, model: Model, seed: int, out: Path) -> list[str]:
    """What a user would type for one run."""
    words = ["train", model.recipe, *model.flags, "--seed", str(seed), "--out", str(folder(out, study, model, seed))]
    for setting in model.settings:
        words += ["--set", setting]
    if model.taught_by:
        teacher = next(one for one in study.models if one.name == model.taught_by)
        teacher_folder = folder(out, study, teacher, model.teacher_seed or seed)
        words += ["--set", f'teacher.sources=["{teacher_folder}"]']
    return words


def folder(out: Path, study: Study, model: Model, seed: int) -> Path:
    """Where a run lies."""
    return out / study.name / f"{model.name}-{seed}"


def runs(study: Study, only: str | None) -> Iterator[tuple[Model, int]]:
    """Seed by seed, so that a study cut short has whole seeds."""
    chosen = [model for model in study.models if only in (None, model.name)]
    for seed in SEEDS:
        yield from ((model, seed) for model in chosen if seed in model.seeds)


def carry_out(study: Study, out: Path, only: str | None) -> None:
    """Train what is not finished."""
    for model, seed in runs(study, only):
        place = folder(out, study, model, seed)
        if _status(place) == "finished":
            continue
        words = command(study, model, seed, out)
        print(shlex.join(["quickeye", *words]), flush=True)
        ended = subprocess.run([sys.executable, str(ROOT / "quickeye.py"), *words], check=False)
        if ended.returncode:
            raise SystemExit(f"error: {place.name} ended with exit code {ended.returncode}")


def _status(place: Path) -> str | None:
    state = place / "state.json"
    return json.loads(state.read_text())["status"] if state.is_file() else None


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trained_models", description=__doc__)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--out", type=Path, default=Path("runs/studies"), help="where the runs lie")
    parser.add_argument("--clothing", type=Path, help="the folder with train/ and validation/")
    parser.add_argument("--only", help="train this model alone")
    parser.add_argument("--list", action="store_true", help="print the commands")
    parser.add_argument("--read", action="store_true", help="train nothing, write the results of what is finished")
    chosen = parser.parse_args()
    study = STUDIES[chosen.study](chosen.clothing)
    if chosen.list:
        for model, seed in runs(study, chosen.only):
            print(shlex.join(["quickeye", *command(study, model, seed, chosen.out)]))
        return
    if not chosen.read:
        carry_out(study, chosen.out, chosen.only)
    from benchmarks.trained_results import write_results

    finished = [(model, seed, folder(chosen.out, study, model, seed)) for model, seed in runs(study, None)]
    done = [one for one in finished if _status(one[2]) == "finished"]
    print(write_results(study, done, machine(), RESULTS))


if __name__ == "__main__":
    main()
