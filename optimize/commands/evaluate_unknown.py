"""The flags of ``quickeye evaluate`` that choose a score below which to answer "unknown", and keep it in a bundle."""

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optimize.judging.abstain import Wanted
    from optimize.judging.evaluation import Evaluation
    from optimize.judging.judged_model import JudgedModel


def add_flags(parser: argparse.ArgumentParser) -> None:
    """``--max-error``, ``--max-unknown``, ``--save``."""
    parser.add_argument(
        "--max-error", type=_percent, metavar="PERCENT", help='choose a score below which to answer "unknown": of the '
        "answers left, at most so many per cent are wrong",
    )  # fmt: skip
    parser.add_argument(
        "--max-unknown", type=_percent, metavar="PERCENT", help="likewise: at most so many per cent are unknown"
    )
    parser.add_argument("--save", action="store_true", help="write the bundle's next version, with that score")


def usage_fault(flags: argparse.Namespace) -> str:
    """What is wrong with the flags together; nothing where they go together."""
    if flags.max_error is not None and flags.max_unknown is not None:
        return "--max-error and --max-unknown each choose the score; give one of them"
    if flags.save and flags.max_error is None and flags.max_unknown is None:
        return "--save keeps a score below which to answer unknown: say how to choose it, with --max-error PERCENT"
    return ""


def wanted(flags: argparse.Namespace) -> "Wanted | None":
    """What the flags ask for."""
    from optimize.judging.abstain import Wanted

    if flags.max_error is not None:
        return Wanted("max_error", flags.max_error / 100)
    return None if flags.max_unknown is None else Wanted("max_unknown", flags.max_unknown / 100)


def require_savable(model: "JudgedModel") -> None:
    """See that there is a bundle, in a store that can be written, before minutes of judging.

    Raises:
        CheckpointError: it is no bundle.
        BundleError: it lies among the shipped ones.
    """
    from model_zoo.store import Store
    from optimize.errors import CheckpointError
    from optimize.judging.judged_model import BundleModel

    if not isinstance(model, BundleModel):
        raise CheckpointError(
            f"{model.name} is no bundle, so no score can be kept in it; make one with quickeye models import, or build"
        )
    Store(model.bundle.folder.parents[1]).refuse_if_read_only()


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
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"'{text}' is not a share in per cent between 0 and 100")
    return value
