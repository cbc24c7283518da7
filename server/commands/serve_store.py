"""What ``quickeye serve`` does: settings, the address, the server, and a word on where it is."""

import argparse
import os
import sys

from model_zoo.memory_allocator import SERVING, keep_freed_memory
from server.app import App
from server.backends import BACKENDS
from server.backends.errors import BackendUnavailableError
from server.commands.config_flags import add_flags, resolved
from server.config import Config, ConfigError
from server.float_models import with_float_models
from server.logs import set_up_logs
from server.serving import CannotListenError, listen, run
from server.tracing.opening import TracingUnavailableError, must_be_available


def serve_store(arguments: list[str]) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="quickeye serve",
        description="Serve a store of bundles over HTTP.",
        epilog="Every setting can also come from QUICKEYE_<NAME> or a TOML file; see `quickeye config show`.",
    )
    add_flags(parser)
    try:
        config = resolved(parser.parse_args(arguments), os.environ).config
        refuse_what_is_missing(config)
    except ConfigError as error:
        print(f"quickeye serve: {error}", file=sys.stderr)
        return 2
    keep_freed_memory(SERVING)
    set_up_logs(config.log_format, config.log_level)
    try:
        sock = listen(config.host, config.port)
    except CannotListenError as error:
        print(f"quickeye serve: {error}", file=sys.stderr)
        return 1
    try:
        config = with_float_models(config)
    except BackendUnavailableError as error:
        sock.close()
        print(f"quickeye serve: {error}", file=sys.stderr)
        return 1
    port: int = sock.getsockname()[1]
    return run(config, sock, lambda app: welcome(app, config.host, port))


def refuse_what_is_missing(config: Config) -> None:
    """Say so where a setting names something that this version does not have.

    Raises:
        ConfigError.
    """
    if config.backend not in ("auto", *BACKENDS):
        raise ConfigError(f"no backend '{config.backend}'; there are: auto, {', '.join(BACKENDS)}")
    if not all(key.isascii() for key in (config.admin_key, *config.api_keys)):
        raise ConfigError("keys must be plain ASCII: clients do not agree on how to send anything else")
    try:
        must_be_available(config)
    except TracingUnavailableError as error:
        raise ConfigError(str(error)) from None
    if config.workers > 1:
        raise ConfigError("workers = more than 1 is not available in this version; instances use every core already")


def welcome(app: App, host: str, port: int) -> None:
    """Tell a person where the server is and what to try."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}"
    models = ", ".join(f"{model.spec.name} version {model.spec.version}" for model in app.service.catalogue.served())
    print(
        f"\nQuickeye is ready: {models}\n"
        f"  open   {address}/            drop a photo, or turn the camera on\n"
        f"  try    curl --data-binary @photo.jpg {address}/v1/predict\n"
        f"  read   {address}/docs        {address}/metrics\n",
        file=sys.stderr,
        flush=True,
    )
