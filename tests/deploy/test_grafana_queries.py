"""The dashboards' queries: of metrics and labels that exist, added up in the right way.

That they have answers is ``test_proved_for_real``; here nothing is started.
"""

import re
from functools import cache

import promql_parser as promql
import pytest

from deploy.grafana.panels import metrics_in
from tests.deploy.exposed_metrics import exposed
from tests.deploy.grafana_queries import dashboards, panels, put_in
from tests.deploy.promql_labels import Labels, labels_of, selectors
from tests.deploy.rule_files import rules

WINDOWS = {"__rate_interval": "1m", "__range": "1h"}
TARGETS = [
    (panel, target) for dashboard in dashboards().values() for panel in panels(dashboard) for target in panel["targets"]
]

each_query = pytest.mark.parametrize("expr", sorted({target["expr"] for _, target in TARGETS}))


@cache
def known() -> dict[str, Labels]:
    """Everything that Prometheus has of the server: metric or recorded figure → labels."""
    return exposed() | {
        rule["record"]: frozenset(rule["record"].partition(":")[0].split("_")) for rule in rules("record")
    }


def parsed(expr: str) -> promql.Expr:
    """With the variables put in; ``topk`` and ``time()`` change no labels, and are left out."""
    chosen = dict.fromkeys(("job", "instance", "model"), ".*") | WINDOWS
    tree = promql.parse(put_in(expr, chosen).replace("time()", "0"))
    return tree.expr if isinstance(tree, promql.AggregateExpr) and expr.startswith("topk(") else tree


@each_query
def test_metrics_and_labels_exist_and_legends_name_labels_that_the_answer_has(expr: str) -> None:
    labels = labels_of(parsed(expr), known())
    assert labels is not None
    for panel, target in TARGETS:
        if target["expr"] == expr:
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels, panel["title"]


@each_query
def test_a_query_of_a_page_heeds_its_variables(expr: str) -> None:
    """Recorded figures are of a whole job: they have no instance or model to choose."""
    for selector in selectors(parsed(expr)):
        matched = {matcher.name for matcher in selector.matchers.matchers}
        assert {"job", "instance", "model"} & known()[selector.name] <= matched, selector.prettify()


@each_query
def test_counters_are_never_shown_raw_and_quantiles_never_averaged(expr: str) -> None:
    for name in metrics_in(expr):
        if not name.endswith(("_total", "_bucket", "_sum", "_count")):
            continue
        bare = re.sub(rf"(rate|increase)\({name}\{{[^}}]*\}}\[[^\]]+\]\)", "", expr)
        assert name not in bare, f"{name} outside rate() and increase()"
    assert not re.search(r"\bavg\b", expr), "averages hide; a mean is a sum over a count"
    for found in re.finditer(r"histogram_quantile\(", expr):
        assert re.match(r"histogram_quantile\([\d.]+, sum by \(le\b", expr[found.start() :])
        assert not re.search(r"(sum|avg|max|min)[^(]*\($", expr[: found.start()])


@each_query
def test_windows_are_grafanas_or_longer_than_a_panel(expr: str) -> None:
    assert set(re.findall(r"\}\[([^\]]+)\]", expr)) <= {"$__rate_interval", "$__range", "1h", "1d"}
