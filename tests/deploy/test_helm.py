"""The chart: Helm's linter, Kubernetes' own schemas, and what its parts must agree on with the server."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from server.config import Config, resolve
from server.serving import FLUSH_S
from tests.deploy.chart import CHART, NAMESPACE, VALUES, environment, of_kind, rendered, server_of, the
from tests.deploy.dockerfile import environment as image_environment
from tests.deploy.dockerfile import of
from tests.docs.pages import ROOT
from tests.docs.served_calls import is_served
from tests.server.mean_colour import write_mean_colour
from tests.server.running import serving

KUBERNETES = ("1.27", "1.31", kubernetes_validate.latest_version())
OPERATOR = "monitoring.coreos.com/v1"
MANAGED = ("host", "port", "store", "log_format", "drain_grace_s", "drain_timeout_s", "admin_key", "api_keys")
every_set = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)


def test_helm_s_linter_finds_no_fault() -> None:
    found = helm.lint(CHART)
    said = [message["error"] for message in found["messages"] if "icon" not in message["error"]]
    assert (found["errors"], said) == ([], [])


@every_set
def test_the_linter_takes_the_values_too(values: dict[str, Any]) -> None:
    assert helm.lint(CHART, values=values, namespace=NAMESPACE)["errors"] == []


@every_set
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_every_object(values: dict[str, Any], version: str) -> None:
    objects = [each for each in rendered(values) if each["apiVersion"] != OPERATOR]
    assert {"Deployment", "Service", "ServiceAccount", "Pod"} <= {each["kind"] for each in objects}
    for each in objects:
        kubernetes_validate.validate(each, version, strict=True)


def test_kubernetes_would_refuse_an_unknown_field() -> None:
    deployment = the(rendered({}), "Deployment")
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 3},
        {"settings": {"port": 9000}},
        {"settings": {"drain_grace_s": 9}},
        {"settings": {"Max-Pixels": 9}},
        {"gpu": {"enabled": True}, "settings": {"device": "cpu"}},
        {"autoscaling": {"enabled": True, "queueImages": 0, "inflightImages": 0}},
        {"drain": {"timeoutSeconds": -1}},
        {"service": {"port": "http"}},
        {"serviceMonitor": {"interval": "often"}},
        {"podLabels": {"app.kubernetes.io/name": "mine"}},
        {"extraEnv": [{"name": "QUICKEYE_PORT", "value": "9000"}]},
    ],
    ids=str,
)
def test_the_schema_refuses_what_is_wrong(values: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmError):
        rendered(values)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"autoscaling": {"enabled": True, "minReplicas": 9, "maxReplicas": 8}}, "minReplicas"),
        ({"rollingUpdate": {"maxSurge": 0}}, "both 0"),
        ({"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": "0%"}}, "both 0"),
        ({"serviceMonitor": {"enabled": True, "interval": "5s"}}, "scrapeTimeout"),
        ({"serviceMonitor": {"enabled": True, "interval": "1m", "scrapeTimeout": "1m500ms"}}, "scrapeTimeout"),
    ],
    ids=str,
)
def test_values_that_contradict_each_other_are_refused_in_words(values: dict[str, Any], word: str) -> None:
    """Kubernetes would refuse them while it installs; the operator would leave the pods out and say nothing."""
    with pytest.raises(helm.HelmError, match=word):
        rendered(values)


@pytest.mark.parametrize("interval", ["10s", "10000ms", "1m30s", "2h"])
def test_a_scrape_may_take_as_long_as_its_interval(interval: str) -> None:
    (monitor,) = of_kind(rendered({"serviceMonitor": {"enabled": True, "interval": interval}}), "ServiceMonitor")
    assert monitor["spec"]["endpoints"][0]["interval"] == interval


def test_every_value_has_a_schema_and_a_default() -> None:
    with helm.Chart.load(CHART) as chart:
        schema, values = chart.schema, chart.values
    assert schema is not None
    assert set(schema["properties"]) - {"global"} == set(values)
    nested = {name: each["properties"] for name, each in schema["properties"].items() if "properties" in each}
    known = {name: set(each) - {"claims"} for name, each in nested.items()}
    assert known == {name: set(values[name]) for name in nested}


def test_versions_are_the_project_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (project["version"], project["version"])


@every_set
def test_probes_ask_what_the_server_answers(values: dict[str, Any]) -> None:
    container = server_of(rendered(values))
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/readyz", "liveness": "/healthz", "readiness": "/readyz"}
    assert all(is_served("GET", path) for path in paths.values())
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {container[f"{name}Probe"]["httpGet"]["port"] for name in paths} == set(ports) == {"http"}
    assert str(ports["http"]) == environment(container)["QUICKEYE_PORT"] == image_environment("cpu")["QUICKEYE_PORT"]
    startup = container["startupProbe"]
    wanted_s = values.get("startupSeconds", 300)
    assert startup["periodSeconds"] * startup["failureThreshold"] >= wanted_s


@every_set
def test_a_pod_has_the_time_that_draining_takes(values: dict[str, Any]) -> None:
    manifests = rendered(values)
    pod, container = the(manifests, "Deployment")["spec"]["template"]["spec"], server_of(manifests)
    config = settings_of(container)
    hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
    assert hook[0] == "sleep"
    needed_s = float(hook[1]) + config.drain_grace_s + config.drain_timeout_s + FLUSH_S
    assert pod["terminationGracePeriodSeconds"] > needed_s


def settings_of(container: dict[str, Any]) -> Config:
    """What the server makes of the container's environment over the image's."""
    variables = {**image_environment("cpu"), **environment(container)}
    return resolve({}, {k: v for k, v in variables.items() if k.startswith("QUICKEYE_")}).config


@every_set
def test_its_environment_is_settings_that_exist(values: dict[str, Any]) -> None:
    container = server_of(rendered(values))
    config = settings_of(container)
    assert (config.host, config.log_format) == ("0.0.0.0", "json")
    assert config.device == ("cuda" if values.get("gpu") else "auto")
    assert config.store == ("/store" if values.get("store") else "")
    for name, value in values.get("settings", {}).items():
        assert getattr(config, name) == (tuple(value) if isinstance(value, list) else value)
    names = [each["name"] for each in container["env"]]
    assert len(names) == len(set(names))


def test_the_values_that_have_a_place_of_their_own_are_no_settings() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    assert schema["properties"]["settings"]["propertyNames"]["not"]["enum"] == list(MANAGED)
    assert all(hasattr(Config(), name) for name in MANAGED)


def test_keys_come_from_the_secret() -> None:
    container = server_of(rendered(VALUES["own_store"]))
    secrets = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in container["env"] if "valueFrom" in e}
    assert set(secrets) == {"QUICKEYE_ADMIN_KEY", "QUICKEYE_API_KEYS"}
    assert {ref["name"] for ref in secrets.values()} == {"quickeye-keys"}
    assert {f"QUICKEYE_{ref['key'].upper()}" for ref in secrets.values()} == set(secrets)


@every_set
def test_nothing_runs_as_root_or_writes_to_its_root(values: dict[str, Any]) -> None:
    manifests = rendered(values)
    (user,) = of("cpu", "USER")
    for pod in (the(manifests, "Deployment")["spec"]["template"]["spec"], the(manifests, "Pod")["spec"]):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == user.rest
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
    writable = {mount["mountPath"] for mount in server_of(manifests)["volumeMounts"] if not mount.get("readOnly")}
    assert {"/tmp", image_environment("cpu")["QUICKEYE_CACHE_DIR"]} <= writable


@every_set
def test_selectors_find_the_server_s_pods_and_no_others(values: dict[str, Any]) -> None:
    manifests = rendered(values)
    template = the(manifests, "Deployment")["spec"]["template"]
    labels, others = template["metadata"]["labels"], the(manifests, "Pod")["metadata"]["labels"]
    selectors = [the(manifests, "Service")["spec"]["selector"]]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind(manifests, "PodDisruptionBudget")]
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in of_kind(manifests, "NetworkPolicy")]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind(manifests, "Deployment")]
    spread = template["spec"].get("topologySpreadConstraints", [])
    selectors += [each["labelSelector"]["matchLabels"] for each in spread]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= others.items()


def test_a_gpu_is_asked_for_and_tolerated() -> None:
    manifests = rendered(VALUES["gpu"])
    pod, container = the(manifests, "Deployment")["spec"]["template"]["spec"], server_of(manifests)
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "3Gi", "nvidia.com/gpu": 1}
    assert container["image"] == "quickeye:cuda"
    assert pod["runtimeClassName"] == "nvidia"
    assert [each["key"] for each in pod["tolerations"]] == ["nvidia.com/gpu", "dedicated"]


def test_the_autoscaler_and_a_number_of_replicas_exclude_each_other() -> None:
    for values in VALUES.values():
        manifests = rendered(values)
        counted = "replicas" in the(manifests, "Deployment")["spec"]
        assert counted == (of_kind(manifests, "HorizontalPodAutoscaler") == [])


def test_it_renders_without_any_resources() -> None:
    assert server_of(rendered({"resources": None}))["resources"] == {}


def test_the_cpu_is_bounded_as_instances_are_planned_by_it() -> None:
    resources = server_of(rendered({}))["resources"]
    assert set(resources["limits"]) == {"cpu", "memory"}


def test_helm_test_s_question_is_answered_by_a_server(tmp_path: Path) -> None:
    (container,) = the(rendered({}), "Pod")["spec"]["containers"]
    script, address = container["args"]
    service = the(rendered({}), "Service")
    assert address == f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert container["command"] == ["python", "-c"]
    assert script.strip() == (CHART / "files" / "ask.py").read_text().strip()
    for name in ("mean_colour", "other"):
        write_mean_colour(tmp_path / "store", name)
    with serving(tmp_path, "--store", str(tmp_path / "store"), "--backend", "onnxruntime") as running:
        command = [sys.executable, "-c", script, running.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert re.findall(r"\w+ .*'red'", done.stdout)
        assert {line.split()[0] for line in done.stdout.splitlines()} == {"mean_colour", "other"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
