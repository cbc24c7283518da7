"""A flag for every setting, made from the settings themselves."""

import argparse
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

from server.config import Config, ResolvedConfig, resolve

# Settings whose flag has another name than the setting.
FLAG_NAMES = {
    "models": "model",
    "api_keys": "api-key",
    "backend_options": "backend-option",
    "allowed_origins": "allowed-origin",
}


def flag_of(name: str) -> str:
    """``max_batch_size`` → ``--max-batch-size``."""
    return "--" + FLAG_NAMES.get(name, name).replace("_", "-")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add one flag per setting, and ``--config``."""
    parser.add_argument("--config", metavar="FILE", help="TOML file of settings")
    hints = get_type_hints(Config)
    for each in fields(Config):
        hint = hints[each.name]
        text = each.metadata["help"].replace("%", "%%")
        flag = flag_of(each.name)
        default = argparse.SUPPRESS
        if hint is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, dest=each.name, default=default, help=text)
        elif hint == tuple[str, ...]:
            note = f"{text} (repeatable)"
            parser.add_argument(flag, action="append", dest=each.name, default=default, help=note, metavar="VALUE")
        else:
            shown = f"{text} (default: {each.default!r})" if each.default != "" else text
            choices = get_args(hint) or None
            name = "N" if "_per_" in each.name else each.name.rpartition("_")[2].upper()
            metavar = None if choices else name
            parser.add_argument(flag, dest=each.name, default=default, help=shown, choices=choices, metavar=metavar)


def resolved(flags: argparse.Namespace, environment: Mapping[str, str]) -> ResolvedConfig:
    """The configuration that these flags, the environment and the file make.

    Raises:
        ConfigError: a value, a name or the file is wrong.
    """
    given = dict(vars(flags))
    file = given.pop("config") or environment.get("QUICKEYE_CONFIG")
    for name in FLAG_NAMES:
        if name in given:
            given[name] = tuple(given[name])
    known = {each.name for each in fields(Config)}
    return resolve(
        {name: value for name, value in given.items() if name in known}, environment, Path(file) if file else None
    )
