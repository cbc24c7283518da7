"""Figures that are taken once: what ``state.json`` holds is never measured anew."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optimize.errors import RunError
from optimize.training.compound_run import noted
from optimize.training.run_folder import RunFolder

Facts = dict[str, Any]


class Journal:
    """Of the run in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def once(self, what: str, take: Callable[[], Facts]) -> Facts:
        """The facts noted under ``what``; taken now, and noted, where there are none.

        Raises:
            RunError: the journal can't be read or written.
        """
        known = self.known(what)
        if known is not None:
            return known
        facts: Facts = json.loads(noted(self._folder, what, json.dumps(take(), sort_keys=True)))
        return facts

    def known(self, what: str) -> Facts | None:
        """The facts noted under ``what``, if there are some.

        Raises:
            RunError: the journal can't be read.
        """
        path = RunFolder(self._folder).state
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            facts: Facts | None = json.loads(content[what]) if what in content else None
        except (OSError, ValueError, TypeError) as error:
            raise RunError(f"{path} can't be read: {error}") from error
        return facts
