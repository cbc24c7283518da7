"""The command line: a table of commands, each imported only when it is asked for."""

import sys
from collections.abc import Callable
from importlib import import_module

# name -> ("module:function", what it does). The function takes the arguments after the name, returns the exit code.
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("server.commands.serve:main", "serve a store of bundles"),
    "config": ("server.commands.config:main", "show every setting, its value and where it came from"),
    "predict": ("server.commands.predict:main", "classify files or a folder, no server"),
    "stream": ("server.commands.stream:main", "send a video file, folder or camera to a server, show results live"),
    "models": ("server.commands.models:main", "list, show, verify, build, import, remove"),
    "models diff": ("optimize.commands.models_diff:main", "what differs between two bundles, and whether they agree"),
    "train": ("optimize.commands.train:main", "train or fine-tune a model on your own pictures"),
    "optimize": ("optimize.commands.optimize:main", "make a model faster within an accuracy budget, with the evidence"),
    "evaluate": ("optimize.commands.evaluate:main", "how good a model is on labelled pictures, with a report"),
    "benchmark": ("server.benchmark:main", "latency and throughput of a bundle on this machine"),
    "loadtest": ("server.loadtest:main", "load a server, report honest percentiles"),
    "plan": ("server.commands.plan:main", "how many machines for how many pictures a second, and how quick"),
}


def usage() -> str:
    """The text of ``quickeye --help``."""
    lines = [f"  {name:<11} {text}" for name, (_, text) in COMMANDS.items()]
    more = "quickeye COMMAND --help tells more; quickeye --version says which this is."
    return "\n".join(["usage: quickeye COMMAND [OPTIONS]", "", *lines, "", more])


def run(words: list[str]) -> int:
    """Find a command and run it; returns its exit code: 0, 1 (failed), 2 (usage)."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        print("quickeye", import_module("server.commands.version").installed_version())
        return 0
    name = next((name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS), None)
    if name is None:
        print(f"quickeye: no command '{words[0]}'\n\n{usage()}", file=sys.stderr)
        return 2
    module_name, _, function_name = COMMANDS[name][0].partition(":")
    command: Callable[[list[str]], int] = getattr(import_module(module_name), function_name)
    return command(words[len(name.split()) :])


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns its exit code, and a word on stderr where it could not end well."""
    ended: Callable[[Callable[[], int]], int] = import_module("server.commands.ending").ended
    return ended(lambda: run(sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    sys.exit(main())
