"""An evaluation in a few lines, for a terminal."""

from optimize.judging.comparison import Comparison
from optimize.judging.evaluation import Evaluation

SHOWN_CLASSES = 10


def as_text(found: Evaluation) -> str:
    """Figures with their intervals, the comparison, and the classes that do worst."""
    judgement, calibration = found.judgement, found.judgement.calibration
    low, high = judgement.top1.ci95 or (0.0, 1.0)
    lines = [
        f"{_plain(found.model.name)} on {_plain(found.dataset)}: {judgement.n} pictures, {found.model.runs_on}",
        f"top-1      {judgement.top1.value:8.2%}   95 %: {low:.2%} to {high:.2%}",
        f"top-5      {judgement.top5.value:8.2%}",
        f"macro F1   {judgement.figures['macro_f1'].value:8.2%}",
        f"ECE        {calibration.before.ece.value:8.2%}   {calibration.after.ece.value:.2%} with temperature "
        f"{calibration.temperature:.2f}",
    ]
    for one in found.latency:
        how = f"{_plain(one.model)}, one picture, {one.backend} {one.precision}, {one.threads} threads"
        lines.append(f"latency    {one.p50_ms:5.1f} ms   {how}")
    if found.robustness:
        kinds = len(found.robustness.cells)
        lines.append(f"corrupted  {found.robustness.mean:8.2%}   mean over {kinds} corruptions and severities")
    if found.comparison:
        lines += _against(found.comparison)
    lines += _worst(found)
    if found.unreadable:
        lines.append(f"left out, as they can't be decoded: {len(found.unreadable)}")
    return "\n".join(lines)


def _against(one: Comparison) -> list[str]:
    low, high = (100 * edge for edge in one.ci95)
    return [
        f"against {_plain(one.other)} ({one.other_top1.value:.2%}): {100 * one.difference:+.2f} points, "
        f"95 %: {low:+.2f} to {high:+.2f}; McNemar mid-p {one.p_mid:.3g}",
        _plain(one.verdict),
    ]


def _worst(found: Evaluation) -> list[str]:
    seen = [one for one in found.judgement.by_class if one.n]
    worst = sorted(seen, key=lambda one: one.f1 or 0.0)[:SHOWN_CLASSES]
    return [
        "classes, the lowest F1 first:",
        *(f"  {one.f1 or 0.0:7.1%}  {_plain(one.name)} ({one.n})" for one in worst),
    ]


def _plain(text: str) -> str:
    """Without what could confuse a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)
