"""``quickeye serve``: serve a store of bundles.

Importing the server takes a second. Who stops it within that second is told the same as
later: it ended well. So this module imports nothing heavy before the signal is taken.
"""

from server.commands.ending import sigterm_ends


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    with sigterm_ends("quickeye serve: stopped by SIGTERM before it served"):
        from server.commands.serve_store import serve_store

        return serve_store(arguments)
