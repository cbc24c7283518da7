"""``quickeye models diff A B``: the facts of two bundles side by side, and on pictures, whether they answer alike.

Facts come from the files. With ``--data`` both are asked about the same pictures, B beside A, as the report of
``quickeye optimize`` has a candidate beside its parent: the difference with its interval and McNemar's test, agreement,
calibration, mistakes that come more or less often, answers that changed. Bundles of other classes have no answers to
compare: that is said, and their facts are told all the same. It is not among the actions of
``server.commands.models``, as the server knows nothing of judging.
"""

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from model_zoo.bundle import Bundle
from model_zoo.errors import ModelZooError, UnknownModelError
from model_zoo.store import Store, parse_reference
from model_zoo.store_flag import store_to_read
from optimize.commands.models_diff_text import Names, answers, differences_table, facts_table
from optimize.data.package_files import found_file
from optimize.errors import OptimizeError, libraries_for
from optimize.judging.bundle_facts import differences, facts_of
from server.backends import BACKENDS
from server.backends.errors import BackendError

if TYPE_CHECKING:
    from optimize.data.dataset import Dataset
    from optimize.judging.beside import Beside
    from optimize.judging.predictions import Predictions


def make_parser() -> argparse.ArgumentParser:
    """The command's flags."""
    parser = argparse.ArgumentParser(
        prog="quickeye models diff", description="What differs between two bundles; with --data also their answers."
    )
    parser.add_argument("first", metavar="A", help="NAME or NAME/VERSION of the store, a bundle's or a run's folder")
    parser.add_argument("second", metavar="B", help="likewise; it is told beside A")
    parser.add_argument("--data", type=Path, metavar="DIR", help="labelled pictures to ask both about")
    parser.add_argument("--limit", type=_count, default=0, metavar="N", help="at most N pictures of each class")
    parser.add_argument("--backend", choices=("auto", *BACKENDS), default="auto", help="engine for both (auto)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the bootstraps (1)")
    parser.add_argument("--store", type=Path, metavar="DIR", help="folder of bundles (default: the shipped bundles)")
    parser.add_argument("--json", action="store_true", help="JSON on stdout; fractions")
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; 0: told, 1: no such model or data, or they can't be compared, 2: usage."""
    flags = make_parser().parse_args(arguments)
    try:
        first, second = (_open(word, store_to_read(flags.store)) for word in (flags.first, flags.second))
        names = _names(flags, first, second)
        fault = _other_classes(names, first, second) if flags.data is not None else ""
        found = _asked(flags, names, first, second) if flags.data is not None and not fault else None
        facts, changed = (facts_of(first), facts_of(second)), differences(first, second)
    except (OptimizeError, ModelZooError, BackendError) as error:
        print(f"quickeye models diff: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"quickeye models diff: {error.filename or flags.data}: {error.strerror or error}", file=sys.stderr)
        return 1
    if flags.json:
        content = {
            "models": [one.model for one in facts],
            "facts": [one.to_json() for one in facts],
            "differences": changed,
            "beside": found.to_json() if found else None,
        }
        print(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        parts = [facts_table(names, *facts), differences_table(names, changed)]
        print("\n\n".join([*parts, *([answers(found)] if found else [])]))
    if fault:
        print(f"quickeye models diff: {fault}", file=sys.stderr)
    return 1 if fault else 0


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(text)


def _open(word: str, store: Store) -> Bundle:
    if Path(word).is_dir():
        from optimize.training.bundle_at import bundle_at

        return bundle_at(Path(word))
    return store.open(*parse_reference(word))


def _names(flags: argparse.Namespace, first: Bundle, second: Bundle) -> Names:
    """NAME/VERSION of each; where these are the same, what was typed."""
    one, other = (f"{bundle.spec.name}/{bundle.spec.version}" for bundle in (first, second))
    return (one, other) if one != other else (flags.first, flags.second)


def _other_classes(names: Names, first: Bundle, second: Bundle) -> str:
    """What classes one of them alone knows; nothing where both know the same."""
    from optimize.data.listing import some

    known = (set(first.labels), set(second.labels))
    alone = (sorted(known[0] - known[1]), sorted(known[1] - known[0]))
    told = [f"{name} alone knows {some(these)}" for name, these in zip(names, alone, strict=True) if these]
    if not told:
        return ""
    return f"{names[0]} and {names[1]} know other classes: {'; '.join(told)}; so their answers can't be compared"


def _asked(flags: argparse.Namespace, names: Names, first: Bundle, second: Bundle) -> "Beside":
    if not found_file(flags.data).exists():
        raise UnknownModelError(f"--data {flags.data}: there is nothing of that name")
    with libraries_for("judging"):
        from optimize.data.options import DataOptions
        from optimize.data.read import read_dataset
        from optimize.judging.beside import beside
        from optimize.judging.class_columns import under_labels

        options = DataOptions(train=flags.data, limit=flags.limit, look_alikes=False, missing_from_val="report")
        dataset, _ = read_dataset(flags.data, classes=first.labels, options=options)
        other = _answers(flags, first, dataset)
        this = _answers(flags, second, under_labels(dataset, second.labels))
        return beside(this, other, seed=flags.seed, names=(names[1], names[0]))


def _answers(flags: argparse.Namespace, bundle: Bundle, dataset: "Dataset") -> "Predictions":
    from optimize.judging.ask import ask
    from optimize.judging.judged_model import BundleModel

    with closing(BundleModel(bundle, None if flags.backend == "auto" else flags.backend)) as model:
        return ask(model, dataset).predictions
