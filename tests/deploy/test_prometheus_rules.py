"""The rules speak of metrics, labels and values that the server has; each alert is tested, and is in the runbook."""

import re

import promql_parser as promql
import pytest

from tests.deploy.exposed_metrics import VALUES, exposed
from tests.deploy.promql_labels import TARGET, LabelError, Labels, labels_of, selectors
from tests.deploy.rule_files import Rule, alert_names, fired, rules, unit_tests
from tests.docs.pages import ROOT, anchors

RECORD = re.compile(r"(?P<level>[a-z_]+):(?P<metric>[a-z_]+):(?P<operations>[a-z0-9_]+)")
RUNBOOK = "docs/runbook.md"


def level_of(record: str) -> Labels:
    """The labels that a recorded figure's name promises."""
    found = RECORD.fullmatch(record)
    assert found is not None, record
    return frozenset(found["level"].split("_"))


@pytest.fixture(scope="module")
def known() -> dict[str, Labels]:
    """Everything that a rule may name."""
    return exposed() | {rule["record"]: level_of(rule["record"]) for rule in rules("record")}


@pytest.mark.parametrize("rule", rules("record"), ids=lambda rule: rule["record"])
def test_a_recorded_figure_has_the_labels_of_its_level(rule: Rule, known: dict[str, Labels]) -> None:
    assert labels_of(promql.parse(rule["expr"]), known) == level_of(rule["record"])


@pytest.mark.parametrize("rule", rules("record"), ids=lambda rule: rule["record"])
def test_a_recorded_figure_names_its_window(rule: Rule) -> None:
    windows = set(re.findall(r"\[(\w+)\]", rule["expr"]))
    named = re.search(r"(?:rate|mean)(\d\w+)$", rule["record"])
    assert windows <= {named[1]} if named else not windows


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_has_labels_of_its_own_and_what_a_person_needs(rule: Rule, known: dict[str, Labels]) -> None:
    labels = labels_of(promql.parse(rule["expr"]), known)
    assert labels is not None
    assert "job" in labels
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert named <= labels | set(rule["labels"])
    assert rule["annotations"]["runbook_url"] == f"{RUNBOOK}#{rule['alert'].lower()}"


@pytest.mark.parametrize("rule", [*rules("record"), *rules("alert")], ids=lambda rule: rule.get("record", ""))
def test_values_that_are_asked_for_exist(rule: Rule) -> None:
    for selector in selectors(promql.parse(rule["expr"])):
        metric = re.sub(r"_(bucket|sum|count)$", "", selector.name)
        for matcher in selector.matchers.matchers:
            if matcher.name in TARGET or metric.startswith("job"):
                continue
            assert set(matcher.value.split("|")) <= VALUES[metric, matcher.name], selector.prettify()


def test_processes_of_other_jobs_are_left_alone() -> None:
    everybody_s = ("up", "scrape_", "process_")
    for rule in [*rules("record"), *rules("alert")]:
        for selector in selectors(promql.parse(rule["expr"])):
            if selector.name.startswith(everybody_s):
                assert "job" in {matcher.name for matcher in selector.matchers.matchers}, rule


def test_nothing_is_recorded_twice_and_everything_is_tested() -> None:
    names = [rule["record"] for rule in rules("record")]
    assert len(names) == len(set(names))
    tested = str(unit_tests())
    windows = re.compile(r"ratio_rate(5m|30m|1h|2h|6h|1d|3d)$")  # told by the alerts that compare them
    assert [name for name in names if name not in tested and not windows.search(name)] == []


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_a_unit_test_expects_it_to_fire(rule: Rule) -> None:
    assert fired(rule)


def test_the_runbook_has_a_section_for_each_alert_and_no_other() -> None:
    text = (ROOT / RUNBOOK).read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### (Quickeye\w+)$", text, re.MULTILINE)) == sorted(alert_names())
    assert {name.lower() for name in alert_names()} <= anchors(ROOT / RUNBOOK)


def test_each_section_says_what_it_means_where_to_look_what_to_do_and_when_to_escalate() -> None:
    text = (ROOT / RUNBOOK).read_text(encoding="utf-8")
    sections = re.split(r"^### (?=Quickeye)", text, flags=re.MULTILINE)[1:]
    for section in sections:
        parts = re.findall(r"^\*\*(.+?)\.\*\*", section, re.MULTILINE)
        assert parts == ["Means", "Look", "Do", "Escalate"], section.partition("\n")[0]


def test_the_runbook_s_queries_ask_for_what_there_is(known: dict[str, Labels]) -> None:
    text = (ROOT / RUNBOOK).read_text(encoding="utf-8")
    blocks = re.findall(r"^```promql\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    queries = [line for block in blocks for line in block.splitlines()]
    assert len(queries) >= len(alert_names())
    for query in queries:
        labels_of(promql.parse(query), known)


def test_the_documents_name_figures_that_are_recorded() -> None:
    recorded = {rule["record"] for rule in rules("record")}
    for page in ("docs/metrics.md", RUNBOOK):
        assert set(re.findall(r"job\w*:\w+:\w+", (ROOT / page).read_text(encoding="utf-8"))) <= recorded, page


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("nobody_total", "no such metric"),
        ('quickeye_requests_total{status="500"}', "no label status"),
        ("sum by (stage) (rate(quickeye_requests_total[5m]))", "no label stage to keep"),
        ("histogram_quantile(0.5, sum by (job) (rate(quickeye_stage_duration_seconds_bucket[5m])))", "bounds"),
        ("quickeye_queue_images / quickeye_model_ready", "never match"),
        ("up and on (model) quickeye_queue_images", "matched on"),
    ],
)
def test_what_no_series_can_answer_is_found(query: str, why: str, known: dict[str, Labels]) -> None:
    with pytest.raises(LabelError, match=why):
        labels_of(promql.parse(query), known)
