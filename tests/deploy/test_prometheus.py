"""Prometheus's own tool takes the configuration, the rules, their unit tests and what the server exposes."""

import asyncio
from pathlib import Path

import pytest

from server.metrics import StreamMetrics
from tests.deploy.promtool import promtool
from tests.deploy.rule_files import CONFIGURATION, RULE_FILES, UNIT_TESTS
from tests.server.in_app import running_app
from tests.server.mean_colour import write_mean_colour
from tests.server.posting import RED

pytestmark = pytest.mark.needs_prometheus


def test_it_takes_the_configuration() -> None:
    code, said = promtool("check", "config", "--lint=all", "--lint-fatal", CONFIGURATION)
    assert code == 0, said
    assert f"{len(RULE_FILES)} rule files found" in said


def test_it_takes_the_rules() -> None:
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)
    assert code == 0, said


@pytest.mark.slow
@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda file: file.stem)
def test_figures_and_alerts_are_what_their_unit_tests_expect(file: Path) -> None:
    code, said = promtool("test", "rules", file)
    assert code == 0, said


def test_a_wrong_expectation_is_found(tmp_path: Path) -> None:
    """Else all of the above could pass for nothing."""
    case = "{promql_expr_test: [{eval_time: 1m, expr: vector(1), exp_samples: [{labels: '{}', value: 2}]}]}"
    file = tmp_path / "wrong.yml"
    file.write_text(f"tests: [{case}]\n")
    code, said = promtool("test", "rules", file)
    assert code != 0
    assert "FAILED" in said


def test_it_takes_what_the_server_exposes(tmp_path: Path) -> None:
    write_mean_colour(tmp_path)

    async def scraped() -> str:
        async with running_app(tmp_path, backend="onnxruntime") as (app, client):
            for data in (RED, b"no picture"):
                await client.post("/v1/predict", content=data)
            frames = StreamMetrics(app.service.metrics, "mean_colour")
            frames.result(0.01)
            frames.dropped("stale")
            frames.failed("internal")
            return (await client.get("/metrics")).text

    text = asyncio.run(scraped())
    assert text.count("\n# TYPE quickeye_") == text.count("\n# HELP quickeye_") > 15
    code, said = promtool("check", "metrics", stdin=text)
    assert (code, said) == (0, "")
