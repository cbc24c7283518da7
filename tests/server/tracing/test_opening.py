"""Turning tracing on: what is missing is said at once, and a server without it knows nothing of OpenTelemetry."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.commands.serve_store import serve_store
from server.config import Config
from server.metrics import Metrics
from server.tracing.opening import TracingUnavailableError, must_be_available, open_tracing
from server.tracing.tracer import described

ROOT = Path(__file__).parents[3]

# The framework brings OpenTelemetry's interface; what does something comes with the extra alone.
EXTRA = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "opentelemetry.semconv")

# A finder ahead of all others, as if the packages were not installed.
WITHOUT_THE_PACKAGES = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.startswith({EXTRA}):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


def python(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("QUICKEYE_", "OTEL_"))}
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250)


def test_without_the_packages_the_server_answers_and_writes_its_logs(tmp_path: Path) -> None:
    program = """
import asyncio, logging
from server.logs import set_up_logs
from tests.server.in_app import running_app
from tests.server.posting import RED
from tests.server.mean_colour import write_mean_colour
from pathlib import Path
async def main(store):
    set_up_logs("json", "info")
    write_mean_colour(store)
    async with running_app(store, access_log=True) as (app, client):
        reply = await client.post("/v1/predict", content=RED)
        logging.getLogger("quickeye").info("a line")
        scrape = await client.get("/metrics", headers={"accept": "application/openmetrics-text"})
        print(reply.status_code, scrape.status_code, " # {" in scrape.text)
asyncio.run(main(Path(sys.argv[1])))
"""
    done = python(WITHOUT_THE_PACKAGES + program, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "200 200 False\n"


def test_a_server_that_does_not_trace_imports_nothing_of_it() -> None:
    """Not even where it is installed."""
    program = f"""
import sys
from server.app import create_app
from server.config import Config
create_app(Config())
print([name for name in sys.modules if name.startswith({(*EXTRA, "google.protobuf", "server.tracing.tracer")})])
"""
    done = python(program)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_the_setting_without_the_packages_says_what_to_install() -> None:
    program = WITHOUT_THE_PACKAGES + "import quickeye; sys.exit(quickeye.main(['serve', '--port', '0', '--tracing']))"
    done = python(program)
    assert done.returncode == 2
    assert "extra 'otel'" in done.stderr and "pip install -e '.[otel]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
    ],
)
def test_what_cannot_be_followed_is_refused_before_the_server_starts(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    assert serve_store(["--tracing"]) == 2
    assert f"{variable} is '{value}'" in capsys.readouterr().err
    must_be_available(Config())  # nobody asks for it: nobody is refused


def test_a_queue_size_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "none")
    with pytest.raises(TracingUnavailableError, match="variables"):
        open_tracing(Config(tracing=True), Metrics(lambda: ()))


@pytest.mark.parametrize(("variable", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
def test_opentelemetrys_own_switches_turn_it_off(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(variable, value)
    assert open_tracing(Config(tracing=True), Metrics(lambda: ())) is None
    assert variable in caplog.text


def test_the_process_is_described_and_the_environment_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(variable, raising=False)
    own = described().attributes
    assert (own["service.name"], own["process.pid"]) == ("quickeye", os.getpid())
    assert own["service.version"] and own["host.name"]
    assert own["service.instance.id"] != described().attributes["service.instance.id"]
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=shop,service.instance.id=seven")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "eye-of-the-shop")
    theirs = described().attributes
    assert theirs["service.name"] == "eye-of-the-shop"
    assert (theirs["deployment.environment.name"], theirs["service.instance.id"]) == ("shop", "seven")
