"""``quickeye config show``: every setting, its value, and which source it came from."""

import argparse
import json
import os
import sys
from dataclasses import fields

from server.commands.config_flags import add_flags, resolved
from server.config import ENVIRONMENT_PREFIX, SECRETS, Config, ConfigError, ResolvedConfig


def main(arguments: list[str]) -> int:
    """Print the configuration that ``quickeye serve`` would use with the same flags."""
    parser = argparse.ArgumentParser(prog="quickeye config", description="Show every setting and where it came from.")
    parser.add_argument("action", choices=["show"], help="show: print the settings that `serve` would use")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    add_flags(parser)
    flags = parser.parse_args(arguments)
    try:
        found = resolved(flags, os.environ)
    except ConfigError as error:
        print(f"quickeye config: {error}", file=sys.stderr)
        return 2
    print(as_json(found) if flags.json else as_table(found))
    return 0


def shown(config: Config, name: str) -> object:
    """A setting's value; secrets are never printed."""
    value = getattr(config, name)
    if name in SECRETS and value:
        return "(set)"
    return list(value) if isinstance(value, tuple) else value


def as_json(found: ResolvedConfig) -> str:
    """One object: setting → value and source."""
    names = [each.name for each in fields(Config)]
    return json.dumps(
        {name: {"value": shown(found.config, name), "source": found.sources[name]} for name in names}, indent=2
    )


def as_table(found: ResolvedConfig) -> str:
    """Aligned columns: setting, value, source, meaning."""
    rows = [
        (each.name, json.dumps(shown(found.config, each.name)), found.sources[each.name], each.metadata["help"])
        for each in fields(Config)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    return "\n".join(
        [*lines, "", f"In the environment: {ENVIRONMENT_PREFIX}<NAME>, e.g. {ENVIRONMENT_PREFIX}PORT=9000"]
    )
