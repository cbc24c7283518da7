"""Prometheus's own tool."""

import subprocess
from pathlib import Path


def promtool(*words: str | Path, stdin: str = "") -> tuple[int, str]:
    """The exit code of promtool, and all that it said."""
    command = ["promtool", *map(str, words)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=280, check=False)
    return done.returncode, done.stdout + done.stderr
