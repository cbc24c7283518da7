"""The flags of ``quickeye evaluate`` that choose a score below which to answer "unknown", and keep it in a bundle."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optimize.judging.evaluation import Evaluation
    from optimize.judging.judged_model import JudgedModel
    from optimize.judging.threshold import Wanted

# Per cent; less would take more pictures than anyone has.
LEAST = 0.01


def add_flags(parser: argparse.ArgumentParser) -> None:
    """``--max-error``, ``--max-unknown``, ``--save``."""
    texts = {
        "--max-error": 'choose a score below which to answer "unknown": at most PERCENT of the answers left are wrong',
        "--max-unknown": "choose it so that at most PERCENT of the pictures are unknown",
    }
    for flag, text in texts.items():
        parser.add_argument(flag, type=_percent, metavar="PERCENT", help=text)
    text = "with one of these two: write the bundle's next version, which holds that score"
    parser.add_argument("--save", action="store_true", help=text)


def usage_fault(flags: argparse.Namespace) -> str:
    """What is wrong with the flags together; nothing where they go together."""
    if flags.max_error is not None and flags.max_unknown is not None:
        return "--max-error and --max-unknown each choose the score; give one of them"
    if flags.save and flags.max_error is None and flags.max_unknown is None:
        return "--save keeps a score below which to answer unknown: say how to choose it, with --max-error PERCENT"
    return ""


def wanted(flags: argparse.Namespace) -> "Wanted | None":
    """What the flags ask for."""
    from optimize.judging.threshold import Wanted

    if flags.max_error is not None:
        return Wanted("max_error", flags.max_error / 100)
    return None if flags.max_unknown is None else Wanted("max_unknown", flags.max_unknown / 100)


def require_savable(model: "JudgedModel") -> None:
    """See that there is a bundle, in a store that can be written, before minutes of judging.

    Raises:
        CheckpointError: it is no bundle.
        BundleError: it lies among the shipped ones, can't be written beside, or is not the newest of its name.
    """
    from model_zoo.errors import BundleError
    from model_zoo.store import Store
    from optimize.errors import CheckpointError
    from optimize.judging.judged_model import BundleModel

    if not isinstance(model, BundleModel):
        raise CheckpointError(
            f"{model.name} is no bundle, so no score can be kept in it; make one with quickeye models import, or build"
        )
    spec, root = model.bundle.spec, model.bundle.folder.parents[1]
    store = Store(root)
    store.refuse_if_read_only()
    if not os.access(root / spec.name, os.W_OK):
        raise BundleError(f"{root / spec.name} can't be written: no next version of {spec.name} can be kept there")
    newest = store.versions(spec.name)[-1]
    if newest != spec.version:
        raise BundleError(
            f"the next version of {spec.name} would have version {spec.version}'s model, and {newest} is the newest; "
            f"evaluate {spec.name}/{newest}, or remove it first"
        )


def save(model: "JudgedModel", found: "Evaluation", dataset: str) -> None:
    """Write the bundle's next version.

    Raises:
        BundleError: the disk refused.
    """
    from optimize.judging.abstain_bundle import with_threshold
    from optimize.judging.judged_model import BundleModel

    if isinstance(model, BundleModel) and found.threshold is not None:
        made = with_threshold(model.bundle, found.threshold.in_manifest(dataset), found.threshold.says)
        print(f"saved: {made.folder}", file=sys.stderr)


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not LEAST <= value < 100:
        raise argparse.ArgumentTypeError(f"'{text}' is not a share in per cent, from {LEAST:g} to below 100")
    return value
