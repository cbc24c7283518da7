"""What ``quickeye models diff`` tells a person: tables in which A stands left of B, whatever they are called."""

import json
from typing import TYPE_CHECKING, Any

from model_zoo.tables import file_size, table
from optimize.judging.bundle_facts import BundleFacts

if TYPE_CHECKING:
    from optimize.judging.beside import Beside

LONGEST_CELL = 60
Names = tuple[str, str]


def facts_table(names: Names, first: BundleFacts, second: BundleFacts) -> str:
    """One line a fact, whether it differs or not."""
    rows: list[list[str]] = [["", *names]]
    told = (_lines(first), _lines(second))
    for name in told[0]:
        mine, theirs = (one[name] for one in told)
        for place in range(max(len(mine), len(theirs))):
            cells = [one[place] if place < len(one) else "" for one in (mine, theirs)]
            rows.append([name if place == 0 else "", *cells])
    return table(rows)


def differences_table(names: Names, changed: dict[str, tuple[Any, Any]]) -> str:
    """One line a field of the manifests."""
    rows = [[field, *map(_text, values)] for field, values in changed.items()]
    return table([["FIELD", *names], *rows]) if rows else "no difference"


def answers(found: "Beside") -> str:
    """What the two answered on the same pictures."""
    one = found.comparison
    low, high = (100 * edge for edge in one.ci95)
    drawn = [100 * edge for edge in one.bootstrap95 or ()]
    boot = ", bootstrap {:+.2f} to {:+.2f}".format(*drawn) if drawn else ""
    honest = (found.other_honesty, found.honesty)
    of_each = [
        ["", one.other, one.this],
        ["right", f"{one.other_top1.value:.2%}", f"{one.top1.value:.2%}"],
        ["alone right", f"{one.only_other:,}", f"{one.only_this:,}"],
        ["calibration error", *(f"{each.ece.value:.2%}" for each in honest)],
        ["log loss", *(f"{each.log_loss.value:.4f}" for each in honest)],
    ]
    of_both = [
        ["pictures", f"{one.n:,}"],
        ["difference", f"{100 * one.difference:+.2f} points; 95 % interval {low:+.2f} to {high:+.2f} (Tango){boot}"],
        ["McNemar", f"p = {one.p_mid:.2g} (mid-p), {one.p_exact:.2g} (exact)"],
        ["same answer", f"{one.same_answer:.2%}"],
        ["logits", f"differ by up to {found.logits[0]:.3g}; the largest of {one.other} is {found.logits[1]:.3g}"],
    ]
    heading = f"{one.this} beside {one.other}, on the same pictures"
    parts = [heading, table(of_each), table(of_both), one.verdict]
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
        "multiply-adds": ("not known" if one.macs is None else _work(one.macs),),
        "in integers": ("not known" if one.in_integers is None else f"{one.in_integers:.1%}",),
        "unknown": (unknown,),
        "accuracy": one.accuracy or ("not recorded",),
        "latency": one.latency or ("not recorded",),
    }


def _work(macs: int) -> str:
    return f"{macs:,}" if macs < 1e6 else f"{macs / 1e6:,.2f} million"


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON
    """One cell; what is longer is in the JSON."""
    text = "-" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"
