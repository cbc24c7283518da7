"""Content → one HTML page that needs nothing else: no script, no network, no font, no file."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from optimize.errors import MissingLibraryError
from optimize.judging.judgement import ClassFigures, Judgement
from optimize.judging.robustness import Robustness
from optimize.report import formats, plots
from optimize.report.confusion import view
from optimize.report.content import DataFacts, ReportContent

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
MOST_SHOWN = 30  # rows of a table; the others unfold
SPLIT_ORDER = ("train", "val", "test", "target")


def render(content: ReportContent) -> str:
    """The page.

    Raises:
        MissingLibraryError: jinja2 or matplotlib is not installed.
    """
    try:
        template = _environment().get_template("report.html.jinja")
        drawn = _drawn(content)
    except ImportError as error:
        raise MissingLibraryError(f"a report needs {error.name}: pip install 'quickeye[optimize]'") from error
    main = content.judged[0] if content.judged else None
    classes = worst_first(main.judgement) if main else []
    return template.render(
        content=content,
        main=main,
        judgement=main.judgement if main else None,
        others=content.judged[1:],
        confusion=view(main.judgement) if main else None,
        classes=classes,
        shown_classes=min(MOST_SHOWN, sum(one.n > 0 for one in classes)),
        bars=class_bars(content.data) if content.data else (),
        corruptions=by_corruption(content.robustness) if content.robustness else {},
        plots=drawn,
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
    )


def worst_first(judgement: Judgement) -> list[ClassFigures]:
    """The classes that occur or were answered: lowest F1 first, those without pictures last, most answered first."""
    seen = [one for one in judgement.by_class if one.n or one.predicted]
    return sorted(seen, key=lambda one: (one.f1 is None, one.f1 or 0.0, -one.predicted, one.name))


def class_bars(data: DataFacts) -> list[tuple[str, list[tuple[str, int, float]]]]:
    """Class → (split, pictures, share of the largest class), for stacked bars; of classes that have pictures."""
    largest = max((sum(counts.values()) for counts in data.counts.values()), default=1) or 1
    named = {split: None for counts in data.counts.values() for split in counts}
    splits = [one for one in SPLIT_ORDER if one in named] + [one for one in named if one not in SPLIT_ORDER]
    return [
        (name, [(split, counts.get(split, 0), counts.get(split, 0) / largest) for split in splits])
        for name, counts in data.counts.items()
        if any(counts.values())
    ]


def by_corruption(found: Robustness) -> dict[str, list[tuple[int, float]]]:
    """Corruption → (severity, top-1), the corruptions that hurt most first."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for cell in found.cells:
        lines.setdefault(cell.corruption, []).append((cell.severity, cell.top1.value))
    return dict(sorted(lines.items(), key=lambda line: sum(value for _, value in line[1])))


def _drawn(content: ReportContent) -> dict[str, Markup]:
    drawn = _learning_curves(content)
    if content.judged:
        judgement = content.judged[0].judgement
        if judgement.roc:
            drawn["roc"] = plots.curves(
                "roc", "false positive rate", "true positive rate", judgement.roc, diagonal=True
            )
            drawn["pr"] = plots.curves("pr", "recall", "precision", judgement.precision_recall, diagonal=False)
        calibration = judgement.calibration
        drawn["reliability"] = plots.reliability("reliability", calibration.before, calibration.after)
    if content.robustness:
        lines = by_corruption(content.robustness)
        drawn["robustness"] = plots.severity_lines("robustness", lines, content.robustness.clean.value)
    return {name: Markup(svg) for name, svg in drawn.items()}


def _learning_curves(content: ReportContent) -> dict[str, str]:
    """Loss, accuracy, calibration and rate, each where the run has it."""
    metrics, drawn = content.metrics, {}

    def lines(*wanted: tuple[str, str, str]) -> list[plots.Line]:
        return [
            plots.Line(name, metrics[column], colour)
            for column, name, colour in wanted
            if any(value is not None for value in metrics.get(column, ()))
        ]

    if loss := lines(("train_loss", "training", plots.TWO), ("val_loss", "validation", plots.ONE)):
        drawn["loss"] = plots.learning_curve("loss", "loss", loss)
    if top1 := lines(("train_top1", "training", plots.TWO), ("val_top1", "validation", plots.ONE),
                     ("ema_top1", "validation, averaged weights", plots.THREE)):  # fmt: skip
        drawn["top1"] = plots.learning_curve("top1", "top-1, %", top1, percent=True)
    if rate := lines(("lr", "learning rate", plots.ONE)):
        drawn["lr"] = plots.learning_curve("lr", "learning rate", rate)
    if ece := lines(("val_ece", "calibration error", plots.ONE)):
        drawn["ece"] = plots.learning_curve("ece", "calibration error, %", ece, percent=True)
    return drawn


@lru_cache(1)
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=formats.printable,
    )
    for name in ("percent", "points", "between", "decimal", "file_size", "count", "short"):
        environment.filters[name] = getattr(formats, name)
    return environment
