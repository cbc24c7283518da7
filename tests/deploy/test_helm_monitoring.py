"""What the chart gives to Prometheus, Grafana and the autoscaler."""

import json
from pathlib import Path
from typing import Any

import helm_python as helm
import promql_parser
import pytest
import yaml
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor

from tests.deploy.chart import CHART, MONITORED, VALUES, environment, of_kind, rendered, server_of, the
from tests.deploy.exposed_metrics import exposed
from tests.docs.pages import ROOT
from tests.docs.served_calls import is_served

DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))
MODELS = {"ServiceMonitor": ServiceMonitor, "PrometheusRule": PrometheusRule}
ADAPTER = ROOT / "deploy" / "helm" / "prometheus-adapter.yaml"


def unknown(given: Any, kept: Any, path: str = "") -> list[str]:  # noqa: ANN401
    """The fields of an object that its schema does not have."""
    if isinstance(given, dict):
        kept = kept if isinstance(kept, dict) else {}
        gone = [f"{path}.{key}" for key in given if key not in kept]
        return gone + [each for key in given if key in kept for each in unknown(given[key], kept[key], f"{path}.{key}")]
    if isinstance(given, list) and isinstance(kept, list):
        pairs = enumerate(zip(given, kept, strict=True))
        return [each for n, (a, b) in pairs for each in unknown(a, b, f"{path}[{n}]")]
    return []


def check(manifest: dict[str, Any]) -> list[str]:
    """Validate by the operator's schema; returns the fields that are unknown to it."""
    model = MODELS[manifest["kind"]].model_validate(manifest)
    return unknown(manifest, model.model_dump(mode="json", by_alias=True, exclude_unset=True))


def test_the_operator_takes_its_kinds() -> None:
    kinds = [each for each in rendered(MONITORED) if each["kind"] in MODELS]
    assert len(kinds) == 1 + len(RULES)
    for each in kinds:
        assert check(each) == []
        assert each["metadata"]["labels"]["release"] == "monitoring"


def test_the_operator_would_not_take_others() -> None:
    monitor = the(rendered(MONITORED), "ServiceMonitor")
    monitor["spec"]["endpoints"][0]["intervall"] = "15s"
    assert check(monitor) == [".spec.endpoints[0].intervall"]
    monitor["spec"]["endpoints"][0]["interval"] = "often"
    with pytest.raises(ValueError, match="interval"):
        check(monitor)


def test_what_is_scraped_is_the_server_under_the_name_that_the_rules_know() -> None:
    manifests = rendered(MONITORED)
    monitor, service = the(manifests, "ServiceMonitor"), the(manifests, "Service")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert is_served("GET", endpoint["path"])
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["namespaceSelector"]["matchNames"] == [service["metadata"]["namespace"]]
    labels = {each["targetLabel"]: each["replacement"] for each in endpoint["relabelings"]}
    (job,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert labels["job"] == job["job_name"]
    global_ = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["global"]
    assert (endpoint["interval"], endpoint["scrapeTimeout"]) == (global_["scrape_interval"], global_["scrape_timeout"])


def test_rules_are_those_of_prometheus() -> None:
    given = [each["spec"] for each in of_kind(rendered(MONITORED), "PrometheusRule")]
    assert given == [yaml.safe_load(file.read_text()) for file in RULES]


def test_alerts_name_the_runbook_where_it_is_read() -> None:
    where = "https://wiki.example/quickeye/runbook"
    given = of_kind(rendered({"prometheusRule": {"enabled": True, "runbookUrl": where}}), "PrometheusRule")
    links = [
        rule["annotations"].pop("runbook_url")
        for each in given
        for group in each["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert len(links) > 10
    assert {link.partition("#")[0] for link in links} == {where}
    assert all(link.partition("#")[2].startswith("quickeye") for link in links)


@pytest.mark.parametrize("where", ["docs", "https://wiki.example/a b", "https://wiki.example/#top"])
def test_what_is_no_address_of_a_page_is_refused(where: str) -> None:
    with pytest.raises(helm.HelmError, match="runbookUrl"):
        rendered({"prometheusRule": {"enabled": True, "runbookUrl": where}})


def test_dashboards_are_those_of_grafana_byte_by_byte() -> None:
    maps = of_kind(rendered(MONITORED), "ConfigMap")
    given = {name: text for each in maps for name, text in each["data"].items()}
    assert given == {file.name: file.read_text() for file in DASHBOARDS}
    assert all(each["metadata"]["labels"]["grafana_dashboard"] == "1" for each in maps)
    assert all(len(json.dumps(each)) < 2**20 for each in maps), "more than a ConfigMap holds"


def test_there_is_no_second_copy_of_either() -> None:
    assert (CHART / "files" / "dashboards").resolve() == DASHBOARDS[0].parent
    assert (CHART / "files" / "rules").resolve() == RULES[0].parent


def test_a_package_of_the_chart_has_both(tmp_path: Path) -> None:
    archive = helm.package(CHART, destination=tmp_path)
    with helm.Chart.load(archive) as chart:
        names = {each["name"] for each in chart.files}
    assert {f"files/rules/{file.name}" for file in RULES} <= names
    assert {f"files/dashboards/{file.name}" for file in DASHBOARDS} <= names


def test_without_an_operator_there_are_none_of_its_kinds() -> None:
    assert {each["kind"] for each in rendered({})}.isdisjoint({*MODELS, "ConfigMap"})


@pytest.mark.parametrize(
    ("values", "names"),
    [("scaled", ["quickeye_inflight_images", "quickeye_queue_images"]), ("scaled_by_queue", ["quickeye_queue_images"])],
)
def test_the_autoscaler_asks_for_metrics_that_the_server_tells(values: str, names: list[str]) -> None:
    manifests = rendered(VALUES[values])
    scaler = the(manifests, "HorizontalPodAutoscaler")["spec"]
    assert [each["pods"]["metric"]["name"] for each in scaler["metrics"]] == names
    assert set(names) <= set(exposed())
    assert scaler["scaleTargetRef"]["name"] == the(manifests, "Deployment")["metadata"]["name"]
    assert "QUICKEYE_PORT" in environment(server_of(manifests))


def test_the_adapter_s_rule_is_promql_over_those_metrics() -> None:
    (rule,) = yaml.safe_load(ADAPTER.read_text())["rules"]["custom"]
    series = promql_parser.parse(rule["seriesQuery"])
    (name,) = [matcher for matcher in series.matchers.matchers if matcher.name == "__name__"]
    assert name.value == "^quickeye_(queue|inflight)_images$"
    query = rule["metricsQuery"].replace("<<.Series>>", "quickeye_queue_images")
    query = query.replace("<<.LabelMatchers>>", 'namespace="pictures",pod="demo"').replace("<<.GroupBy>>", "pod")
    assert promql_parser.parse(query).modifier.labels == ["pod"]
