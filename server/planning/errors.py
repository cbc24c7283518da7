"""What a plan can end with.

- ``PlanningError``: the measured times cannot be had, or say nothing; the message says why.
  - ``ImpossibleObjectiveError``: a picture alone takes longer than the objective allows.
"""


class PlanningError(Exception):
    """No plan can be made of this."""


class ImpossibleObjectiveError(PlanningError):
    """No number of machines meets it."""
