"""``quickeye models diff A B``: the facts of two bundles side by side, and on pictures, whether they answer alike.

Facts come from the files. With ``--data`` both are asked about the same pictures, B beside A, as the report of
``quickeye optimize`` has a candidate beside its parent: the difference with its interval and McNemar's test, agreement,
calibration, mistakes that come more or less often, answers that changed. It is not among the actions of
``server.commands.models``, as the server knows nothing of judging.
"""

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_zoo.bundle import Bundle
from model_zoo.errors import ModelZooError, UnknownModelError
from model_zoo.store import Store, parse_reference
from model_zoo.store_flag import store_to_read
from model_zoo.tables import file_size, table
from optimize.errors import OptimizeError, libraries_for
from optimize.judging.bundle_facts import BundleFacts, differences, facts_of
from server.backends import BACKENDS
from server.backends.errors import BackendError

if TYPE_CHECKING:
    from optimize.judging.beside import Beside
    from optimize.judging.predictions import Predictions

LONGEST_CELL = 60


def make_parser() -> argparse.ArgumentParser:
    """The command's flags."""
    parser = argparse.ArgumentParser(
        prog="quickeye models diff", description="What differs between two bundles; with --data also their answers."
    )
    parser.add_argument("first", metavar="A", help="NAME or NAME/VERSION of the store, a bundle's or a run's folder")
    parser.add_argument("second", metavar="B", help="likewise; it is told beside A")
    parser.add_argument("--data", type=Path, metavar="DIR", help="labelled pictures to ask both about")
    parser.add_argument("--limit", type=_count, default=0, metavar="N", help="so many of each class")
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
        found = _asked(flags, first, second) if flags.data is not None else None
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
        return 0
    rows = [[field, *map(_text, values)] for field, values in changed.items()]
    heading = ["FIELD", flags.first, flags.second]
    parts = [_facts_table(*facts), table([heading, *rows]) if rows else "no difference"]
    print("\n\n".join([*parts, *([_words(found)] if found else [])]))
    return 0


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(text)


def _open(word: str, store: Store) -> Bundle:
    if Path(word).is_dir():
        from optimize.training.bundle_at import bundle_at

        return bundle_at(Path(word))
    return store.open(*parse_reference(word))


def _asked(flags: argparse.Namespace, first: Bundle, second: Bundle) -> "Beside":
    if not flags.data.exists():
        raise UnknownModelError(f"--data {flags.data}: there is nothing of that name")
    with libraries_for("judging"):
        from optimize.judging.beside import beside

        this, other = (_answers(flags, bundle) for bundle in (second, first))
        return beside(this, other, seed=flags.seed, names=(flags.second, flags.first))


def _answers(flags: argparse.Namespace, bundle: Bundle) -> "Predictions":
    from optimize.data.options import DataOptions
    from optimize.data.read import read_dataset
    from optimize.judging.ask import ask
    from optimize.judging.judged_model import BundleModel

    options = DataOptions(train=flags.data, limit=flags.limit, look_alikes=False, missing_from_val="report")
    dataset, _ = read_dataset(flags.data, classes=bundle.labels, options=options)
    with closing(BundleModel(bundle, None if flags.backend == "auto" else flags.backend)) as model:
        return ask(model, dataset).predictions


def _facts_table(first: BundleFacts, second: BundleFacts) -> str:
    """One line a fact, whether it differs or not."""
    rows: list[list[str]] = [["", first.model, second.model]]
    told = (_lines(first), _lines(second))
    for name in told[0]:
        mine, theirs = (one[name] for one in told)
        for place in range(max(len(mine), len(theirs))):
            cells = [one[place] if place < len(one) else "" for one in (mine, theirs)]
            rows.append([name if place == 0 else "", *cells])
    return table(rows)


def _lines(one: BundleFacts) -> dict[str, tuple[str, ...]]:
    unknown = "nothing" if one.unknown_below is None else f"below a score of {one.unknown_below:.4f}"
    return {
        "parent": (one.parent or "-",),
        "made by": (one.made_by or "-",),
        "architecture": (one.architecture or "-",),
        "precision": (one.precision,),
        "input": (one.input,),
        "classes": (f"{one.classes:,}",),
        "model.onnx": (file_size(one.bytes),),
        "whole bundle": (file_size(one.bundle_bytes),),
        "multiply-adds": ("not known" if one.macs is None else f"{one.macs / 1e6:.2f} million",),
        "in integers": ("not known" if one.in_integers is None else f"{one.in_integers:.1%}",),
        "unknown": (unknown,),
        "accuracy": one.accuracy or ("not recorded",),
        "latency": one.latency or ("not recorded",),
    }


def _words(found: "Beside") -> str:
    """The answers on the pictures, for a person."""
    one = found.comparison
    low, high = (100 * edge for edge in one.ci95)
    drawn = [100 * edge for edge in one.bootstrap95 or ()]
    boot = ", bootstrap {:+.2f} to {:+.2f}".format(*drawn) if drawn else ""
    rows = [
        ["pictures", f"{one.n:,}"],
        ["right", f"{one.top1.value:.2%}, {one.other} {one.other_top1.value:.2%}"],
        ["difference", f"{100 * one.difference:+.2f} points; 95 % interval {low:+.2f} to {high:+.2f} (Tango){boot}"],
        ["only one right", f"{one.only_this:,}, {one.other} {one.only_other:,}"],
        ["McNemar", f"p = {one.p_mid:.2g} (mid-p), {one.p_exact:.2g} (exact)"],
        ["same answer", f"{one.same_answer:.2%}"],
        ["calibration error", f"{found.honesty.ece.value:.2%}, {one.other} {found.other_honesty.ece.value:.2%}"],
        ["log loss", f"{found.honesty.log_loss.value:.4f}, {one.other} {found.other_honesty.log_loss.value:.4f}"],
        ["logits", f"differ by up to {found.logits[0]:.3g}; the largest of {one.other} is {found.logits[1]:.3g}"],
    ]
    parts = [f"{one.this} beside {one.other}, on the same pictures", table(rows), one.verdict]
    if found.confusions:
        cells = [[cell.label, cell.predicted, str(cell.other), str(cell.this)] for cell in found.confusions]
        rows = [["IS", "TAKEN FOR", one.other, one.this], *cells]
        parts.append(f"mistakes that come more or less often\n{table(rows)}")
    if found.flips:
        cells = [[flip.identifier, flip.label, flip.other, flip.this] for flip in found.flips]
        more = f" ({len(cells)} of {found.flipped:,})" if found.flipped > len(cells) else ""
        rows = [["PICTURE", "IS", one.other, one.this], *cells]
        parts.append(f"answers that changed{more}\n{table(rows)}")
    return "\n\n".join(parts)


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON
    """One cell; what is longer is in the JSON."""
    text = "-" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"
