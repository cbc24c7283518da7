"""Every setting of the server: its name, type, default and meaning, once.

A value comes from the first of: a flag, the environment (``QUICKEYE_`` and the
name in capitals), a TOML file, the default below. ``resolve`` reads them in that
order and remembers where each came from; ``quickeye config show`` prints it.
Nothing else in the project reads the environment for settings.
"""

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field

from server.setting_values import fitted, shown

ENVIRONMENT_PREFIX = "QUICKEYE_"

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Milliseconds = Annotated[float, Field(ge=0, le=86_400_000)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


def setting(default: Any, text: str) -> Any:  # noqa: ANN401 (dataclasses.field is typed this way too)
    """A field with its meaning."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True)
class Config:
    """The server's settings. Times carry their unit in the name."""

    store: str = setting("", "folder of bundles, <store>/<name>/<version>/; empty: the shipped bundles")
    models: tuple[str, ...] = setting(
        (), "names to serve, NAME or NAME/VERSION; empty: all of the store, newest versions"
    )
    host: Annotated[str, Field(min_length=1)] = setting("127.0.0.1", "address to listen on; 0.0.0.0 for all")
    port: Annotated[int, Field(ge=0, le=65_535)] = setting(8000, "port to listen on; 0 picks a free one")
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "where models run")
    backend: str = setting("auto", "engine that runs models; auto: the first that passes the bundle's check")
    backend_options: tuple[str, ...] = setting((), "engine settings, KEY=VALUE, such as openvino.precision=bf16")
    workers: Positive = setting(1, "HTTP processes; more than one is not available yet")
    instances: Count = setting(0, "copies of a model that run side by side; 0: planned from the cores, 3 on a GPU")
    threads: Count = setting(0, "threads inside one instance; 0: planned from the cores")
    max_batch_size: Annotated[int, Field(ge=0, le=256)] = setting(
        0, "most images run together; 0: 8 on a CPU, 256 on a GPU"
    )
    max_queue_delay_ms: Milliseconds = setting(0.0, "how long a free instance waits for company; 0: never")
    max_queue_images: Positive = setting(256, "most posted images waiting per model, and as many frames of streams")
    max_queue_bytes: Positive = setting(256 * 2**20, "most bytes waiting per model")
    max_queue_wait_ms: Milliseconds = setting(250.0, "refuse (429) what would wait longer than this, by prediction")
    starvation_ms: Annotated[float, Field(ge=1)] = setting(1000.0, "a priority that waited this long moves up one")
    timeout_ms: Milliseconds = setting(5000.0, "deadline of a request that names none")
    max_timeout_ms: Milliseconds = setting(60_000.0, "longest deadline that a request may name")
    max_image_bytes: Positive = setting(20 * 2**20, "most bytes of one image")
    max_image_pixels: Positive = setting(50_000_000, "most pixels of one image, read from its header")
    max_body_bytes: Positive = setting(64 * 2**20, "most bytes of one request")
    max_arriving_bytes: Positive = setting(512 * 2**20, "most bytes of all bodies that are still arriving")
    max_images_per_request: Positive = setting(64, "most images of one request")
    body_timeout_s: Seconds = setting(30.0, "how long a body may take to arrive")
    max_stream_sessions: Positive = setting(128, "most streams open at once; one more is refused (429)")
    max_stream_inflight: Positive = setting(4, "most unanswered frames of one stream with policy all")
    max_frame_bytes: Positive = setting(8 * 2**20, "most bytes of one frame; a larger one ends its stream")
    max_frame_age_ms: Annotated[float, Field(ge=1, le=86_400_000)] = setting(
        1000.0, "with policy latest, a frame older than this gets no result"
    )
    stream_send_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = setting(
        10.0, "a stream whose client reads nothing for this long is ended"
    )
    allowed_origins: tuple[str, ...] = setting(
        (), "pages of other sites that may open streams, such as https://shop.example; *: all"
    )
    admin_key: str = setting(
        "", "key for load, unload and delete; empty: these are open on a loopback address, else closed"
    )
    api_keys: tuple[str, ...] = setting((), "keys that may predict; empty: everybody may")
    rate_limit_per_s: Annotated[float, Field(ge=0)] = setting(0.0, "most requests per second and key; 0: no limit")
    drain_grace_s: Seconds = setting(5.0, "after SIGTERM, how long the listener stays open and says 503")
    drain_timeout_s: Seconds = setting(30.0, "after that, how long admitted work may take to finish")
    log_format: Literal["auto", "json", "console"] = setting("auto", "auto: console on a terminal, JSON elsewhere")
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "least serious line that is logged")
    access_log: bool = setting(True, "one line per request")
    tracing: bool = setting(False, "send traces with OpenTelemetry; needs the extra otel")
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = setting(
        1.0, "share of requests and frames that is traced where no caller decided"
    )
    debug: bool = setting(False, "keep the last batches; let the administrator see them, and profile, under /debug")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class ConfigError(Exception):
    """A setting that cannot be used; the message names it, its source and what it takes."""


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """A configuration and, for each setting, where its value came from."""

    config: Config
    sources: dict[str, str]


SECRETS = frozenset({"admin_key", "api_keys"})


def resolve(flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None) -> ResolvedConfig:
    """Build the configuration: flags over environment over file over defaults.

    Args:
        flags: values given on the command line, by setting name; absent ones left out.
        environment: usually ``os.environ``.
        file: a TOML file whose keys are setting names.
    Raises:
        ConfigError: an unknown name, a wrong value, or a file that cannot be read.
    """
    hints = get_type_hints(Config, include_extras=True)
    from_file = _read_file(file, set(hints)) if file is not None else {}
    _refuse_unknown(environment, set(hints))
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for each in fields(Config):
        name = each.name
        variable = ENVIRONMENT_PREFIX + name.upper()
        if name in flags:
            raw, source = flags[name], "flag"
        elif variable in environment:
            raw, source = _words(environment[variable], hints[name]), f"environment {variable}"
        elif name in from_file:
            raw, source = from_file[name], f"file {file}"
        else:
            sources[name] = "default"
            continue
        values[name] = _checked(name, raw, hints[name], source, typed=source.startswith("file "))
        sources[name] = source
    return ResolvedConfig(Config(**values), sources)


def _words(text: str, hint: object) -> object:
    """Several values in one variable are separated by commas."""
    if hint == tuple[str, ...]:
        return tuple(word.strip() for word in text.split(",") if word.strip())
    return text


def _checked(name: str, raw: object, hint: Any, source: str, *, typed: bool) -> Any:  # noqa: ANN401
    try:
        return fitted(raw, hint, typed=typed)
    except ValueError as error:
        value = "a secret" if name in SECRETS else shown(raw)
        raise ConfigError(f"{name} = {value} (from {source}): {error}") from None


def _read_file(file: Path, known: set[str]) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from None
    unknown = sorted(set(values) - known)
    if unknown:
        hint = "; settings stand in no [table]" if any(isinstance(values[name], dict) for name in unknown) else ""
        lists = "`quickeye config show` lists them all"
        raise ConfigError(f"{file} has no such setting: {', '.join(unknown)}; {lists}{hint}")
    return values


# Variables with our prefix that are not settings of the server.
OTHER_VARIABLES = frozenset({"QUICKEYE_STORE", "QUICKEYE_CACHE_DIR", "QUICKEYE_CLOTHING", "QUICKEYE_CONFIG"})


def _refuse_unknown(environment: Mapping[str, str], known: set[str]) -> None:
    allowed = {ENVIRONMENT_PREFIX + name.upper() for name in known} | OTHER_VARIABLES
    unknown = sorted(name for name in environment if name.startswith(ENVIRONMENT_PREFIX) and name not in allowed)
    if unknown:
        raise ConfigError(f"no such setting: {', '.join(unknown)}; `quickeye config show` lists them all")
