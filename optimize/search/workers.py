"""Several processes that search together; each is what one process alone would be."""

import multiprocessing
import os
import sys
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimize.errors import OptimizeError, RunError
from optimize.training.compound_run import Tools

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from optimize.search.results import SearchResult
    from optimize.training.recipe import Recipe

# ``module:function`` that gives a worker its tools; a worker is a new process, so functions can't be handed over.
TOOLS = "optimize.training.real_tools:real_tools"
# How long an interrupted worker may take to leave its trial as it should.
GRACE_S = 10


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def search_together(recipe: "Recipe", folder: Path, *, tools: str = TOOLS) -> "SearchResult":
    """Search in ``[search] workers`` processes, and write the results when all have ended, however they did.

    Raises:
        RunError: a process was killed; what it was at is continued by the same command.
        RecipeError, DataError, TrainingError, RunError: as ``run_search``, of the first process that had to stop.
    """
    from optimize.search.results import write_results, write_results_so_far
    from optimize.search.run import begin

    search = begin(recipe, folder, _tools(tools))
    workers = [_Worker.started(index + 1, recipe, folder, tools) for index in range(search.options.workers)]
    try:
        errors = [worker.error() for worker in workers]
    except KeyboardInterrupt:
        for worker in workers:  # they were interrupted too
            worker.process.join(GRACE_S)
        write_results_so_far(search)
        raise
    finally:
        for worker in workers:
            worker.end()
    stopped = next((error for error in errors if error is not None), None)
    killed = [worker.ending for worker in workers if worker.process.exitcode]
    if stopped is not None or killed:
        write_results_so_far(search)
        raise stopped or RunError(f"{', '.join(killed)}; the same command continues where they were")
    return write_results(search)


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process, and the end of the pipe through which it says why it had to stop."""

    process: BaseProcess
    told: "Connection"

    @classmethod
    def started(cls, number: int, recipe: "Recipe", folder: Path, tools: str) -> "_Worker":
        context = multiprocessing.get_context("spawn")
        told, tell = context.Pipe(duplex=False)
        arguments = (recipe.to_content(), folder, tools, tell)
        process = context.Process(target=_work, args=arguments, name=f"worker {number}")
        process.start()
        tell.close()  # so that nobody holds it when the process has ended
        return cls(process, told)

    def error(self) -> OptimizeError | None:
        """Wait for its end; what it had to stop for."""
        try:
            error: OptimizeError | None = self.told.recv()
        except EOFError:
            error = None
        self.process.join()
        return error

    @property
    def ending(self) -> str:
        return f"{self.process.name} ended with code {self.process.exitcode}"

    def end(self) -> None:
        """Not to outlive the search."""
        if self.process.is_alive():
            self.process.terminate()
            self.process.join()
        self.told.close()


def _tools(place: str) -> Tools:
    module, _, name = place.partition(":")
    made: Tools = getattr(import_module(module), name)()
    return made


def _work(content: dict[str, Any], folder: Path, tools: str, tell: "Connection") -> None:
    """What a worker's process does."""
    from optimize.search.run import begin, work
    from optimize.training.recipe import parse_recipe

    try:
        work(begin(parse_recipe(content), folder, _tools(tools)))
    except OptimizeError as error:
        print(f"{multiprocessing.current_process().name}: {error}", file=sys.stderr)
        tell.send(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
