"""What the code has, the documents name; what they name, the code has."""

import re
import tomllib
from dataclasses import fields

import pytest

from model_zoo.architectures import ARCHITECTURES
from model_zoo.magic import FORMATS
from model_zoo.manifest import Manifest
from quickeye import COMMANDS
from server.backends import BACKENDS
from server.backends.fake import Faults
from server.backends.onnxruntime import SETTINGS as ONNXRUNTIME_SETTINGS
from server.backends.openvino import SETTINGS as OPENVINO_SETTINGS
from server.commands.models import ACTIONS
from server.config import OTHER_VARIABLES
from server.errors import STATUSES
from server.metrics import Metrics
from server.predict_options import KNOWN
from tests.docs.configuration_table import in_page, table
from tests.docs.pages import ROOT, rows, text_of
from tests.docs.served_calls import calls

NOT_OURS = ("process_", "python_")


@pytest.fixture(scope="module")
def metrics() -> dict[str, tuple[str, ...]]:
    """Our metrics as they are scraped, and their labels."""
    made = Metrics(lambda: ())
    families = {family.name: family for family in made.registry.collect() if not family.name.startswith(NOT_OURS)}
    written = {each._name: each._labelnames for each in vars(made).values() if hasattr(each, "_labelnames")}
    gauges = {name: tuple(family._labelnames) for name, family in families.items() if hasattr(family, "_labelnames")}
    ending = {name: "_total" if family.type == "counter" else "" for name, family in families.items()}
    return {name + ending[name]: {**gauges, **written}[name] for name in families}


def test_the_table_of_settings_is_the_code_s() -> None:
    assert in_page(text_of("configuration.md")) == table(), "run: python -m tests.docs.configuration_table"


def test_every_variable_is_in_the_configuration_page() -> None:
    missing = [name for name in OTHER_VARIABLES if f"`{name}`" not in text_of("configuration.md")]
    assert not missing


def test_every_engine_and_its_options_are_in_the_configuration_page() -> None:
    cells = {cell for row in rows("configuration.md") for cell in row}
    options = {
        *(f"`onnxruntime.{name}`" for name in ONNXRUNTIME_SETTINGS),
        *(f"`openvino.{name}`" for name in OPENVINO_SETTINGS),
        *(f"`fake.{each.name}`" for each in fields(Faults)),
    }
    assert options | {f"`{name}`" for name in BACKENDS} <= cells


def test_the_calls_of_the_page_are_those_of_the_server() -> None:
    documented = {row[0].strip("`") for row in rows("http.md") if re.match(r"`[A-Z]+ /", row[0])}
    assert documented == calls()


def test_every_option_of_a_prediction_is_in_the_http_page() -> None:
    assert {f"`{name}`" for name in KNOWN} <= {row[0] for row in rows("http.md")}


def test_the_errors_of_the_page_are_those_of_the_server() -> None:
    documented = {row[1].strip("`"): int(row[0]) for row in rows("http.md") if re.fullmatch(r"\d{3}", row[0])}
    assert documented == {code: status.http for code, status in STATUSES.items()}


def test_the_metrics_of_the_page_are_those_of_the_server(metrics: dict[str, tuple[str, ...]]) -> None:
    table_rows = [row for row in rows("metrics.md") if row[0].startswith("`quickeye_")]
    documented = {row[0].strip("`"): tuple(re.findall(r"`(\w+)`", row[2])) for row in table_rows}
    assert documented == metrics


def test_queries_name_metrics_that_exist(metrics: dict[str, tuple[str, ...]]) -> None:
    named = set(re.findall(r"(?<![:\w])quickeye_\w+", text_of("metrics.md")))  # after a colon: recorded, not scraped
    known = {name + ending for name in metrics for ending in ("", "_bucket", "_count", "_sum")}
    assert named <= known


def test_every_command_has_its_part_in_the_command_line_page() -> None:
    text = text_of("command-line.md")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == list(COMMANDS)
    assert [name for name in COMMANDS if f"$ quickeye {name}" not in text] == []
    assert [name for name in ACTIONS if f"$ quickeye models {name}" not in text] == []


def test_every_field_of_a_manifest_is_in_the_bundle_page() -> None:
    text = text_of("bundle.md")
    schema = Manifest.model_json_schema()
    names = {name for part in (schema, *schema["$defs"].values()) for name in part.get("properties", ())}
    assert len(names) > 40
    assert {name for name in names if f"`{name}`" not in text and f'"{name}"' not in text} == set()


def test_every_format_is_in_the_images_page() -> None:
    assert set(FORMATS) <= {row[0].lower() for row in rows("images-in.md")}


def test_every_architecture_is_in_the_walk_through() -> None:
    assert [name for name in ARCHITECTURES if f"`{name}`" not in text_of("first-model.md")] == []


def test_every_benchmark_is_in_its_page() -> None:
    programs = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()}
    assert {row[0].strip("`").removeprefix("benchmarks.") for row in rows("benchmarks.md")} - {
        "program",
        "---",
    } == programs


def test_targets_extras_and_markers_are_in_the_development_page() -> None:
    cells = {row[0] for row in rows("development.md")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    targets = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    markers = [text.partition(":")[0] for text in project["tool"]["pytest"]["ini_options"]["markers"]]
    wanted = [*(f"make {name}" for name in targets), *project["project"]["optional-dependencies"], *markers]
    assert {f"`{name}`" for name in wanted} <= cells
