"""A run's end on disk: the front's bundles, ``result.json``, the report."""

import json
from dataclasses import replace

from optimize.candidates.bench import Bench
from optimize.candidates.publish import publish
from optimize.candidates.recipe import PARENT
from optimize.candidates.report import write_optimize_report
from optimize.candidates.result import Result
from optimize.candidates.run import Run
from optimize.training.durable import write_whole


def write_all(run: Run, bench: Bench) -> Result:
    """Finish the run and write everything; the result, with the bundles' places in it.

    Raises:
        RunError, BundleError: the disk refused.
    """
    result = run.result()
    front = [(one, run.bundle(one.name)) for one in result.candidates if one.is_on_front and one.name != PARENT]
    places = publish(bench.folder, bench.recipe, bench.parent, front, bench.data.report.fingerprint)
    named = tuple(replace(one, bundle=places.get(one.name)) for one in result.candidates)
    result = replace(result, candidates=named)
    content = json.dumps(result.to_json(), indent=1, ensure_ascii=False)
    write_whole(bench.folder / "result.json", f"{content}\n".encode())
    shown = result.best or result.closest
    write_optimize_report(
        bench, result, None if shown is None else run.changed(shown), [] if shown is None else run.layers(shown)
    )
    return result
