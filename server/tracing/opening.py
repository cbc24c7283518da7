"""Whether a server traces: what the setting says, what is installed, and what OpenTelemetry's own variables say."""

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from server.config import Config

if TYPE_CHECKING:
    from server.metrics import Metrics
    from server.tracing.tracer import Tracing

log = logging.getLogger("quickeye.tracing")

OpenTracing = Callable[[Config, "Metrics"], "Tracing | None"]

INSTALL = "tracing needs the packages of the extra 'otel': pip install -e '.[otel]'"


class TracingUnavailableError(Exception):
    """The setting asks for tracing, and it cannot be had; the message says why and what to do."""


def must_be_available(config: Config) -> None:
    """Say so at once where tracing is asked for and cannot be had.

    Raises:
        TracingUnavailableError.
    """
    if not config.tracing:
        return
    try:
        import server.tracing.tracer  # noqa: F401
    except ImportError as error:
        raise TracingUnavailableError(f"{INSTALL} ({error})") from None
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp")
    if exporter not in ("otlp", "none"):
        raise TracingUnavailableError(f"OTEL_TRACES_EXPORTER is '{exporter}'; spans are sent with otlp, or none")
    for variable in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = os.environ.get(variable, "http/protobuf")
        if protocol != "http/protobuf":
            raise TracingUnavailableError(f"{variable} is '{protocol}'; spans are sent as http/protobuf")


def open_tracing(config: Config, metrics: "Metrics") -> "Tracing | None":
    """A server's tracing; None when it is off.

    Raises:
        TracingUnavailableError: it is asked for and cannot be had.
    """
    if not config.tracing:
        return None
    must_be_available(config)
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        log.warning("tracing is off: OTEL_SDK_DISABLED says so")
        return None
    if os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        log.warning("tracing is off: OTEL_TRACES_EXPORTER says so")
        return None
    from server.tracing.export import otlp_exporter
    from server.tracing.tracer import Tracing

    try:
        tracing = Tracing(config.trace_ratio, metrics.trace_spans, otlp_exporter())
    except ValueError as error:
        raise TracingUnavailableError(f"OpenTelemetry's variables cannot be used: {error}") from None
    log.info("tracing is on: %s", tracing.sampler)
    return tracing
