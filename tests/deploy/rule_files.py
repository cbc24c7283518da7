"""The rules of deploy/prometheus and their unit tests, as data."""

import re
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
CONFIGURATION = FOLDER / "prometheus.yml"
RULE_FILES = sorted((FOLDER / "rules").glob("*.yml"))
UNIT_TESTS = sorted((Path(__file__).parent / "rules").glob("*.yml"))

Rule = dict[str, Any]


def rules(kind: str) -> list[Rule]:
    """Every rule of a kind, ``record`` or ``alert``, in the order of the files."""
    files = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in RULE_FILES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"] if kind in rule]


def alert_names() -> list[str]:
    """Each alert once; some have a rule for each severity."""
    return list(dict.fromkeys(rule["alert"] for rule in rules("alert")))


def unit_tests() -> list[dict[str, Any]]:
    """Every case of ``promtool test rules``."""
    return [case for file in UNIT_TESTS for case in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]]


def fired(alert: Rule) -> bool:
    """Whether some unit test expects this very rule to fire: its name and all of its labels."""
    labels = {"alertname": alert["alert"], **{name: str(value) for name, value in alert["labels"].items()}}
    return any(labels.items() <= each.items() for case in unit_tests() for each in _expected_to_fire(case))


def _expected_to_fire(case: dict[str, Any]) -> list[dict[str, str]]:
    found = [
        {"alertname": test["alertname"], **{name: str(value) for name, value in one["exp_labels"].items()}}
        for test in case.get("alert_rule_test", ())
        for one in test.get("exp_alerts", ())
    ]
    texts = [one["labels"] for test in case.get("promql_expr_test", ()) for one in test.get("exp_samples", ())]
    return found + [dict(re.findall(r'(\w+)="([^"]*)"', text)) for text in texts if text.startswith("ALERTS{")]
