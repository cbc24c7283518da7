"""The remembered plan: found again, and forgotten when anything that mattered has changed."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.bundle import Bundle
from server.backends import tuning
from server.backends.cpu_features import CpuFeatures
from server.backends.tuning import MAX_PLANS, TunedPlan, remember, remembered_plan, tuning_path

PLAN = TunedPlan("openvino", 2, 1, 4)


def test_a_plan_is_found_again(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tuning.json"
    assert remembered_plan(bundle, path) is None
    assert remember(bundle, PLAN, path) == path
    assert remembered_plan(bundle, path) == PLAN
    newer = replace(PLAN, instances=1)
    remember(bundle, newer, path)
    assert remembered_plan(bundle, path) == newer
    assert len(json.loads(path.read_text())["plans"]) == 1
    assert [one.name for one in path.parent.iterdir()] == ["tuning.json"]


def test_the_servers_call_reads_the_users_cache(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUICKEYE_CACHE_DIR", str(tmp_path))
    remember(bundle, PLAN)
    assert (tmp_path / "tuning.json").is_file()
    assert remembered_plan(bundle) == PLAN


def test_another_bundle_has_its_own(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    remember(bundle, PLAN, path)
    other = replace(bundle, fingerprint="f" * 64)
    assert remembered_plan(other, path) is None
    remember(other, replace(PLAN, threads=2), path)
    assert remembered_plan(bundle, path) == PLAN


@pytest.mark.parametrize("changed", ["cpu", "cores", "engines"])
def test_another_machine_is_another_question(
    changed: str, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tuning.json"
    remember(bundle, PLAN, path)
    if changed == "cpu":
        monkeypatch.setattr(tuning, "cpu_features", lambda: CpuFeatures("another", "x86_64"))
    elif changed == "cores":
        monkeypatch.setattr(tuning, "available_cores", lambda: 4096)
    else:
        monkeypatch.setattr(tuning, "engine_versions", lambda: {"onnxruntime": "99.0"})
    assert remembered_plan(bundle, path) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        '{"schema": 2, "plans": {}}',
        '{"schema": 1, "plans": {"k": {"backend": "x", "instances": 0, "threads": 1, "max_batch_size": 1}}}',
        '{"schema": 1, "plans": {}, "more": 1}',
        '"' + "x" * (2 << 20) + '"',
    ],
    ids=["empty", "text", "list", "schema", "zero", "unknown field", "huge"],
)
def test_a_broken_file_is_ignored_with_a_warning_and_replaced(
    text: str, bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tuning.json"
    path.write_text(text)
    with caplog.at_level(logging.WARNING, "quickeye.tuning"):
        assert remembered_plan(bundle, path) is None
    assert f"{path} is ignored" in caplog.text
    remember(bundle, PLAN, path)
    assert remembered_plan(bundle, path) == PLAN


def test_a_folder_in_its_place_is_ignored_too(bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tuning.json").mkdir()
    assert remembered_plan(bundle, tmp_path / "tuning.json") is None
    assert "is ignored" in caplog.text
    with pytest.raises(OSError, match="directory"):
        remember(bundle, PLAN, tmp_path / "tuning.json")
    assert [one.name for one in tmp_path.iterdir()] == ["tuning.json"]


def test_an_engine_that_no_longer_exists_is_not_suggested(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    remember(bundle, replace(PLAN, backend="tflite"), path)
    assert remembered_plan(bundle, path) is None


def test_the_oldest_plans_go_first(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    part = {"backend": "openvino", "instances": 1, "threads": 1, "max_batch_size": 1}
    path.write_text(json.dumps({"schema": 1, "plans": {f"old {number}": part for number in range(MAX_PLANS)}}))
    remember(bundle, PLAN, path)
    plans = json.loads(path.read_text())["plans"]
    assert len(plans) == MAX_PLANS
    assert "old 0" not in plans
    assert "old 1" in plans
    assert remembered_plan(bundle, path) == PLAN


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"QUICKEYE_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a/tuning.json"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/quickeye/tuning.json"),
        ({"HOME": "/c"}, "/c/.cache/quickeye/tuning.json"),
        ({"QUICKEYE_CACHE_DIR": "", "XDG_CACHE_HOME": "", "HOME": "/c"}, "/c/.cache/quickeye/tuning.json"),
    ],
)
def test_where_the_file_is(environment: dict[str, str], expected: str) -> None:
    assert tuning_path(environment) == Path(expected)
