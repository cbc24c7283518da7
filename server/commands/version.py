"""Which quickeye this is."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The installed package's version; a folder that was never installed has none."""
    try:
        return version("quickeye")
    except PackageNotFoundError:
        return "(not installed)"
