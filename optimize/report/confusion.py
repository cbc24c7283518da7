"""The confusion matrix as it is drawn: few classes with numbers, many as a map of where the mistakes are."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimize.judging.judgement import Judgement

# Above MOST classes only the worst are drawn; counts are written into cells from this size on.
NUMBERS_FROM_PX = 28
MOST = 120
WORST = 60
CELL_PX = {12: 40, 24: 28, 50: 16, MOST: 9}


@dataclass(frozen=True, slots=True)
class Cell:
    """``share`` is of its row; places in the view's ``rows`` and ``columns``."""

    row: int
    column: int
    count: int
    share: float
    is_right: bool

    @property
    def strength(self) -> float:
        """How strongly it is inked, 0 to 1: by the root, since rare mistakes must be seen too."""
        return round(0.12 + 0.88 * math.sqrt(self.share), 3)


@dataclass(frozen=True, slots=True)
class ConfusionView:
    """What the template draws: rows are classes that have pictures, columns those and all that were answered.

    Of too many classes, see ``view``, a row's own class may have no column.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[Cell, ...]
    left_out: str

    @property
    def cell_px(self) -> int:
        return next(px for most, px in CELL_PX.items() if len(self.columns) <= most)

    @property
    def numbers(self) -> bool:
        """Whether counts fit into the cells."""
        return self.cell_px >= NUMBERS_FROM_PX

    @property
    def font_px(self) -> int:
        """Of the names: as large as a cell allows, at most 12."""
        return min(12, self.cell_px - 1)

    @property
    def left_px(self) -> int:
        """Room for the rows' names."""
        return self._room(self.rows)

    @property
    def top_px(self) -> int:
        """Room for the columns' names."""
        return self._room(self.columns)

    def _room(self, names: tuple[str, ...]) -> int:
        longest = max(map(len, names))
        return round(min(longest, 22) * self.font_px * 0.62) + 14


def view(judgement: Judgement) -> ConfusionView:
    """Choose classes; of too many, the rows with most mistakes and the columns that these were called most."""
    matrix = judgement.confusion_matrix()
    totals = matrix.sum(axis=1)
    rows, columns = np.flatnonzero(totals), np.flatnonzero(totals + matrix.sum(axis=0))
    left_out = ""
    if len(columns) < len(judgement.classes):
        left_out = f"{len(judgement.classes) - len(columns):,} classes neither occur nor were answered"
    if len(columns) > MOST:
        # Chosen apart: a class that takes many pictures for its own may have none.
        rows = _most(totals - np.diag(matrix), rows)
        called = matrix[rows].sum(axis=0)
        left_out = f"of {len(columns):,} classes, the rows are the {len(rows)} with most mistakes"
        columns = _most(called, np.flatnonzero(called))
        left_out += f", the columns the {len(columns)} that their pictures were called most"
    part = matrix[np.ix_(rows, columns)]
    cells = tuple(
        Cell(
            int(row),
            int(column),
            int(part[row, column]),
            float(part[row, column] / totals[rows[row]]),
            bool(rows[row] == columns[column]),
        )
        for row, column in np.argwhere(part)
    )
    names = judgement.classes
    return ConfusionView(
        tuple(names[one] for one in rows.tolist()), tuple(names[one] for one in columns.tolist()), cells, left_out
    )


def _most(counts: NDArray[np.int64], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ``WORST`` of ``classes`` with the highest counts, in their order."""
    return np.sort(classes[np.argsort(-counts[classes], kind="stable")[:WORST]])
