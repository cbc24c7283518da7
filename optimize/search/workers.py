"""Several processes that search together; each is what one process alone would be."""

import multiprocessing
import os
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimize.errors import RunError
from optimize.training.compound_run import Tools

if TYPE_CHECKING:
    from optimize.search.results import SearchResult
    from optimize.training.recipe import Recipe

# ``module:function`` that gives a worker its tools; a worker is a new process, so functions can't be handed over.
TOOLS = "optimize.training.real_tools:real_tools"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def search_together(recipe: "Recipe", folder: Path, *, tools: str = TOOLS) -> "SearchResult":
    """Search in ``[search] workers`` processes, and write the results when all have ended.

    Raises:
        RunError: a process ended badly; what it was at is continued by the same command.
        RecipeError, DataError, TrainingError: as ``run_search``.
    """
    from optimize.search.results import write_results
    from optimize.search.run import begin

    own = _tools(tools)
    search = begin(recipe, folder, own)
    n = search.options.workers
    context = multiprocessing.get_context("spawn")
    processes: list[BaseProcess] = [
        context.Process(target=_work, args=(recipe.to_content(), folder, tools), name=f"worker {index + 1}")
        for index in range(n)
    ]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join()
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
                process.join()
    if bad := [f"{process.name} ended with code {process.exitcode}" for process in processes if process.exitcode]:
        raise RunError(f"{', '.join(bad)}; the same command continues where they were")
    return write_results(search)


def _tools(place: str) -> Tools:
    module, _, name = place.partition(":")
    made: Tools = getattr(import_module(module), name)()
    return made


def _work(content: dict[str, Any], folder: Path, tools: str) -> None:
    """What a worker's process does."""
    import sys

    from optimize.errors import OptimizeError
    from optimize.search.run import begin, work
    from optimize.training.recipe import parse_recipe

    try:
        work(begin(parse_recipe(content), folder, _tools(tools)))
    except OptimizeError as error:
        print(f"{multiprocessing.current_process().name}: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
