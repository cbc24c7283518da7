"""How much of the starting weights may change, and when: ``[transfer] name = …`` in a recipe."""

from typing import TYPE_CHECKING

from optimize.choice import Table

if TYPE_CHECKING:
    from optimize.training.transfer.plan import Plan as Plan

_HERE = "optimize.training.transfer"

PLANS: "Table[Plan]" = Table(
    "transfer plan",
    {
        "full": f"{_HERE}.full:Full",
        "head": f"{_HERE}.head_only:HeadOnly",
        "partial": f"{_HERE}.partial:Partial",
        "gradual": f"{_HERE}.gradual:Gradual",
    },
)
