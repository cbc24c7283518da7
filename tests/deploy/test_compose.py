"""The compose file: its schema, its order, files and ports, and the camera's command against a real server."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from compose_spec import PyCompose

import quickeye
from server.config import Config, resolve
from server.serving import FLUSH_S
from tests.deploy.dockerfile import environment, instructions
from tests.deploy.promtool import promtool
from tests.docs.pages import ROOT
from tests.server.running import serving

FOLDER = ROOT / "deploy" / "compose"
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"


def interpolated(value: object) -> object:
    """As compose reads it where no variable is set."""
    if isinstance(value, dict):
        return {key: interpolated(each) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each) for each in value]
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) if isinstance(value, str) else value


FILE = cast(dict[str, Any], interpolated(yaml.safe_load((FOLDER / "compose.yaml").read_text())))
SERVICES: dict[str, dict[str, Any]] = FILE["services"]


def spec(content: dict[str, Any]) -> PyCompose:
    return PyCompose.from_yaml(yaml.safe_dump(content))


def test_the_compose_specification_takes_it() -> None:
    assert set(spec(FILE).service_names()) == {"quickeye", "prometheus", "grafana", "camera"}


@pytest.mark.parametrize(
    ("key", "value"), [("imagee", "x"), ("depends_on", {"b": {"condition": "well"}}), ("stop_grace_period", "soon")]
)
def test_it_would_refuse_what_is_wrong(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key.replace("imagee", "extension key")):
        spec({"services": {"a": {"image": "x", key: value}}})


def test_each_starts_once_what_it_needs_is_healthy() -> None:
    needs = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    assert {name: set(of) for name, of in needs.items()} == {
        "quickeye": set(),
        "prometheus": {"quickeye"},
        "grafana": {"prometheus"},
        "camera": {"quickeye"},
    }
    for name, other in ((name, other) for name, of in needs.items() for other in of):
        assert needs[name][other] == {"condition": "service_healthy"}
        own = SERVICES[other].get("healthcheck", {})
        assert "test" in own or SERVICES[other]["build"]["target"] == "cpu", f"{other} has no health"


def test_ours_are_built_from_the_dockerfile() -> None:
    stages = {each.stage for each in instructions()}
    ours = [service["build"] for service in SERVICES.values() if "build" in service]
    assert len(ours) == 2
    for build in ours:
        assert (FOLDER / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
        assert build["target"] in stages


def mounts() -> list[tuple[str, str, str, str]]:
    """Service, source, target and mode of every volume."""
    words = [(name, volume.split(":")) for name, one in SERVICES.items() for volume in one.get("volumes", [])]
    return [(name, source, target, mode[0] if mode else "rw") for name, (source, target, *mode) in words]


def test_what_is_mounted_is_there_and_cannot_be_changed() -> None:
    for _, source, _, mode in mounts():
        if source.startswith("."):
            assert (FOLDER / source).exists(), source
            assert mode == "ro", source
        else:
            assert source in FILE["volumes"]


def test_grafana_finds_its_dashboards_and_prometheus() -> None:
    seen = {target: (FOLDER / source).resolve() for name, source, target, _ in mounts() if name == "grafana"}
    grafana = ROOT / "deploy" / "grafana"
    provider = yaml.safe_load((grafana / "provisioning" / "dashboards" / "quickeye.yml").read_text())["providers"][0]
    assert seen[provider["options"]["path"]] == grafana / "dashboards"
    assert seen["/etc/grafana/provisioning"] == grafana / "provisioning"
    variables = SERVICES["grafana"]["environment"]
    home = Path(variables["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (seen[str(home.parent)] / home.name).is_file()
    source = (grafana / "provisioning" / "datasources" / "quickeye.yml").read_text()
    assert "${PROMETHEUS_URL}" in source
    assert variables["PROMETHEUS_URL"] == "http://prometheus:9090"


def test_prometheus_is_as_ever_but_for_the_server_s_name() -> None:
    ours = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert ours["scrape_configs"][0]["static_configs"] == [{"targets": [f"quickeye:{Config().port}"]}]
    plain = yaml.safe_load(PROMETHEUS.read_text())
    ours["scrape_configs"][0]["static_configs"] = plain["scrape_configs"][0]["static_configs"]
    assert ours == plain
    seen = {target: (FOLDER / source).resolve() for name, source, target, _ in mounts() if name == "prometheus"}
    assert seen["/etc/prometheus/rules"] == PROMETHEUS.parent / "rules"
    assert seen["/etc/prometheus/prometheus.yml"] == FOLDER / "prometheus.yml"


@pytest.mark.needs_prometheus
def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text((FOLDER / "prometheus.yml").read_text())
    (tmp_path / "rules").symlink_to(PROMETHEUS.parent / "rules")
    code, said = promtool("check", "config", "--lint=all", "--lint-fatal", tmp_path / "prometheus.yml")
    assert code == 0, said
    assert "4 rule files found" in said


def test_stopping_takes_no_longer_than_compose_waits() -> None:
    defaults = Config()
    waits_s = float(SERVICES["quickeye"]["stop_grace_period"].removesuffix("s"))
    assert waits_s > defaults.drain_grace_s + defaults.drain_timeout_s + FLUSH_S


def test_ports_are_this_machine_s_and_the_image_s() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert all(port.startswith("127.0.0.1:") for port in itertools.chain.from_iterable(published.values()))
    assert published["quickeye"] == [f"127.0.0.1:8000:{environment('cpu')['QUICKEYE_PORT']}"]


def test_the_server_s_environment_is_settings_that_exist() -> None:
    values = {name: str(value) for name, value in SERVICES["quickeye"]["environment"].items()}
    assert resolve({}, {**environment("cpu"), **values}).config.admin_key == ""


def test_nothing_has_more_rights_than_it_needs() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service


def test_the_camera_s_photos_are_streamed_to_a_server(tmp_path: Path) -> None:
    """The container's own command, with the server's address and the folder changed."""
    words = [str(word) for word in SERVICES["camera"]["command"]]
    assert words[words.index("--url") + 1] == f"http://quickeye:{Config().port}"
    photos = next(FOLDER / source for name, source, target, _ in mounts() if (name, target) == ("camera", "/photos"))
    with serving(tmp_path) as running:
        changed = {"/photos": str(photos), f"http://quickeye:{Config().port}": running.url}
        words = [changed.get(word, word) for word in words]
        command = [sys.executable, quickeye.__file__, *words, "--frames", "6", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    best = {event["predictions"][0]["label"] for event in events if event["type"] == "result"}
    assert len(events) >= 6
    assert best & {"Egyptian cat", "espresso", "missile", "projectile"}
