"""``report.html`` of an optimising run: one file, no network."""

import base64
import hashlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from optimize.candidates.card import ZEROS, step_words, twin_words
from optimize.candidates.drawing import front_svg
from optimize.candidates.evidence import Evidence
from optimize.candidates.recipe import PARENT
from optimize.candidates.result import Result
from optimize.errors import MissingLibraryError
from optimize.training.durable import write_whole
from optimize.training.run_folder import RunFolder

if TYPE_CHECKING:
    from optimize.candidates.bench import Bench

TEMPLATE = Path(__file__).parent / "optimize.html.jinja"
# Candidates that lose so many points more than they may would squeeze the others together.
DRAWN = 15.0
SCRIPT = Path(__file__).parent / "front.js"
STYLE = Path(__file__).parents[1] / "report" / "style.css"


def write_optimize_report(bench: "Bench", result: Result, evidence: Evidence | None) -> Path:
    """Write the page.

    Args:
        evidence: of the best candidate, or the closest; None where there is none.
    Raises:
        RunError: the disk refused.
        MissingLibraryError: jinja2 is not installed.
    """
    run = RunFolder(bench.folder)
    recipe = run.recipe.read_text(encoding="utf-8")
    command = shlex.join(["quickeye", "optimize", str(run.recipe), "--out", f"{bench.folder}-again"])
    write_whole(run.report, render(result, evidence, recipe, command, bench.data.report.warnings).encode())
    return run.report


def render(result: Result, evidence: Evidence | None, recipe: str, command: str, warnings: tuple[str, ...]) -> str:
    """The page's text; ``command`` does the same once more."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise MissingLibraryError(f"a report needs {error.name}: pip install 'quickeye[optimize]'") from error
    from optimize.report import formats

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=formats.printable
    )
    script = SCRIPT.read_text(encoding="utf-8")
    for name in ("percent", "file_size", "count", "short", "between"):
        environment.filters[name] = getattr(formats, name)
    made = [one for one in result.candidates if one.state == "made"]
    parent = result.candidate(PARENT)
    least = parent.right - result.budget / 100
    most = DRAWN + result.budget
    drawn = [one for one in made if one.right >= parent.right - most / 100]
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        result=result,
        style=STYLE.read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        parent=parent,
        best=result.candidate(result.best) if result.best else None,
        closest=result.candidate(result.closest) if result.closest else None,
        made=made,
        sparse=[one for one in made if one.zeros >= ZEROS],
        left=[one for one in result.candidates if one.state != "made"],
        twins={one.name: twin_words(one.twin) for one in made if one.twin is not None},
        words={one.name: ", ".join(map(step_words, one.steps)) for one in result.candidates},
        drawings=[
            front_svg("accuracy over speed", drawn, lambda one: one.faster, "times as fast as the parent", least),
            front_svg("accuracy over size", drawn, lambda one: one.bytes / 1e6, "model.onnx, MB", least),
        ],
        hidden=[one.name for one in made if one not in drawn],
        most=most,
        evidence=evidence,
        warnings=warnings,
        waiting=any(one.state == "waiting" for one in result.candidates),
        command=command,
        recipe=recipe,
    )
