"""``quickeye models``: what is in a store, whether it is sound, and how it gets there.

Reading commands look into ``--store``, else ``QUICKEYE_STORE``, else the
shipped bundles; writing ones into ``--store``, else ``QUICKEYE_STORE``, else
``./store``. Exit codes: 0, 1 (failed), 2 (usage).
"""

import argparse
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from model_zoo.errors import ModelZooError
from model_zoo.store import Store
from model_zoo.store_flag import store_to_read

# name -> ("module:attribute", what it does). The module offers add_flags_NAME(parser) and NAME(flags, store) -> code.
ACTIONS: dict[str, tuple[str, str]] = {
    "list": ("server.commands.models_read", "every model and version of a store"),
    "show": ("server.commands.models_read", "what a bundle says of itself"),
    "verify": ("server.commands.models_verify", "hashes, and every engine on the bundle's check pictures"),
    "build": ("server.commands.models_write", "make the FP32 bundle of a zoo model from its weight package"),
    "import": ("server.commands.models_write", "make a bundle of an ONNX file or a torch checkpoint"),
    "remove": ("server.commands.models_write", "delete one version"),
}
_WRITING = ("build", "import", "remove")

Action = Callable[[argparse.Namespace, Store], int]


def main(arguments: list[str]) -> int:
    """Run one action of ``quickeye models``; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="quickeye models",
        description="Models of a store.",
        epilog="quickeye models diff A B compares two bundles.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (module, text) in ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        action.add_argument("--store", type=Path, metavar="DIR", help=_store_help(name))
        action.add_argument("--json", action="store_true", help="JSON on stdout")
        getattr(import_module(module), f"add_{name}_flags")(action)
    if arguments and not arguments[0].startswith("-") and arguments[0] not in ACTIONS:
        parser.error(f"there is no action '{arguments[0]}'; there are {', '.join(ACTIONS)} and diff")
    flags = parser.parse_args(arguments)
    run: Action = getattr(import_module(ACTIONS[flags.action][0]), f"run_{flags.action}")
    try:
        return run(flags, _store(flags))
    except ModelZooError as error:
        print(f"quickeye models {flags.action}: {error}", file=sys.stderr)
        return 1


def _store_help(action: str) -> str:
    default = "./store" if action in _WRITING else "the shipped bundles"
    return f"folder of bundles (default: $QUICKEYE_STORE, else {default})"


def _store(flags: argparse.Namespace) -> Store:
    if flags.action in _WRITING:
        return Store(Path(flags.store or os.environ.get("QUICKEYE_STORE") or "store"))
    return store_to_read(flags.store)
