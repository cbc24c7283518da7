"""Objectives, a part of the overview: how fast each one's error budget is used."""

from deploy.grafana.dashboard import row, section
from deploy.grafana.panels import GREEN, RED, YELLOW, Panel, Query

NO_REQUESTS = "No requests in this time"

# How fast the error budget of 30 days is used: 1 uses it up in exactly that time. As the alerts compare them.
WINDOWS = ("5m", "1h", "6h", "3d")
BURNS = ((None, GREEN), (1.0, YELLOW), (6.0, "orange"), (14.4, RED))
AVAILABILITY_BUDGET = 0.001
LATENCY_BUDGET = 0.01


def burn(rule: str, budget: float, window: str) -> str:
    """A recorded share of bad requests as a multiple of what the objective allows."""
    return f'max({rule}:ratio_rate{window}{{job=~"$job"}}) / {budget:g}'


def burns(rule: str, budget: float) -> tuple[Query, ...]:
    """One line per window."""
    return tuple(Query(burn(rule, budget, window), f"over {window}") for window in WINDOWS)


def burn_panel(objective: str, rule: str, budget: float) -> Panel:
    """The burn rate of one objective."""
    return Panel(
        f"Budget burn: {objective}",
        "How fast the error budget is used, over four windows: 1 uses it up in exactly the objective's 30 days. Alerts "
        "compare a long window with a short one: 14.4 and 6 wake somebody, 1 is a ticket. Of all models of the job.",
        "short",
        burns(rule, budget),
        NO_REQUESTS,
        colours=BURNS,
    )


OBJECTIVES = section(
    "Objectives",
    row(
        8,
        burn_panel("99.9 % without 5xx", "job:quickeye_request_errors", AVAILABILITY_BUDGET),
        burn_panel("99 % within 100 ms", "job:quickeye_slow_requests", LATENCY_BUDGET),
    ),
)
