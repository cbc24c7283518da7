"""An evaluation in a few lines, for a terminal."""

from model_zoo.tables import counted
from optimize.judging.comparison import Comparison
from optimize.judging.evaluation import Evaluation

SHOWN_CLASSES = 10


def as_text(found: Evaluation) -> str:
    """Figures with their intervals, the comparison, and the classes that do worst."""
    judgement, calibration = found.judgement, found.judgement.calibration
    low, high = judgement.top1.ci95 or (0.0, 1.0)
    asked = counted(judgement.n, "picture")
    lines = [
        f"{_plain(found.model.name)} on {_plain(found.dataset)}: {asked}, {found.model.runs_on}",
        f"top-1      {_percent(judgement.top1.value)}   95 % interval {100 * low:.1f} to {100 * high:.1f}",
        f"top-5      {_percent(judgement.top5.value)}",
        f"macro F1   {_percent(judgement.figures['macro_f1'].value)}",
        f"ECE        {_percent(calibration.before.ece.value)}   calibration error; with temperature "
        f"{calibration.temperature:.2f} {100 * calibration.after.ece.value:.1f} %",
    ]
    for one in found.latency:
        how = f"{_plain(one.model)}, one picture, {one.backend} {one.precision}, {counted(one.threads, 'thread')}"
        lines.append(f"latency    {one.p50_ms:6.1f} ms   {how}")
    if found.robustness:
        kinds = len(found.robustness.cells)
        lines.append(
            f"corrupted  {_percent(found.robustness.mean)}   top-1, mean over {kinds} corruptions and severities"
        )
    lines += [one.says for one in (found.abstained, found.threshold) if one is not None]
    if found.comparison:
        lines += _against(found.comparison)
    lines += _worst(found)
    if found.unreadable:
        lines.append(f"left out, as they can't be decoded: {len(found.unreadable)}")
    return "\n".join(lines)


def _against(one: Comparison) -> list[str]:
    low, high = (100 * edge for edge in one.ci95)
    return [
        f"against {_plain(one.other)} ({100 * one.other_top1.value:.1f} %): {100 * one.difference:+.1f} percentage "
        f"points, 95 % interval {low:+.1f} to {high:+.1f}; McNemar mid-p {one.p_mid:.2g}",
        _plain(one.verdict),
    ]


def _worst(found: Evaluation) -> list[str]:
    seen = [one for one in found.judgement.by_class if one.n]
    worst = sorted(seen, key=lambda one: one.f1 or 0.0)[:SHOWN_CLASSES]
    return [
        "F1 of the classes, the lowest first (pictures):",
        *(f"           {_percent(one.f1 or 0.0)}   {_plain(one.name)} ({one.n})" for one in worst),
    ]


def _percent(share: float) -> str:
    return f"{100 * share:6.1f} %"


def _plain(text: str) -> str:
    """Without what could confuse a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)
