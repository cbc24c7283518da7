"""The command line: a table of commands, each imported only when it is asked for."""

import os
import sys
from collections.abc import Callable
from importlib import import_module

# name -> ("module:function", what it does). The function takes the arguments after the name, returns the exit code.
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("server.commands.serve:main", "serve a store of bundles"),
    "config": ("server.commands.config:main", "show every setting, its value and where it came from"),
    "predict": ("server.commands.predict:main", "classify files or a folder, no server"),
    "models": ("server.commands.models:main", "list, show, verify, build, import, remove, diff"),
    "benchmark": ("server.benchmark:main", "latency and throughput of a bundle on this machine"),
    "loadtest": ("server.loadtest:main", "load a server, report honest percentiles"),
}


def usage() -> str:
    """The text of ``quickeye --help``."""
    lines = [f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: quickeye COMMAND [OPTIONS]", "", *lines, "", "quickeye COMMAND --help tells more."])


def run(words: list[str]) -> int:
    """Find a command and run it; returns its exit code: 0, 1 (failed), 2 (usage)."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if words else 2
    if words[0] not in COMMANDS:
        print(f"quickeye: no command '{words[0]}'\n\n{usage()}", file=sys.stderr)
        return 2
    module_name, _, function_name = COMMANDS[words[0]][0].partition(":")
    command: Callable[[list[str]], int] = getattr(import_module(module_name), function_name)
    return command(words[1:])


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; also returns 130 (interrupted) and 141 (nobody reads the output)."""
    try:
        try:
            return run(sys.argv[1:] if arguments is None else arguments)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's own last flush complains
        return 141


if __name__ == "__main__":
    sys.exit(main())
