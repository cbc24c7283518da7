"""The table of settings in docs/configuration.md, made from ``server.config``.

After a change of a setting::

    python -m tests.docs.configuration_table
"""

from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, get_type_hints

from server.commands.config_flags import flag_of
from server.config import Config
from server.setting_values import takes

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
BEGIN = "<!-- settings: python -m tests.docs.configuration_table -->\n"
END = "<!-- end of settings -->\n"
HEADING = "| setting | flag | takes | default | meaning |\n|---|---|---|---|---|\n"


def table() -> str:
    """The table, one row per setting, in the order of the code."""
    hints = get_type_hints(Config, include_extras=True)
    return HEADING + "".join(_row(each, hints[each.name]) for each in fields(Config))


def _row(each: "Field[Any]", hint: object) -> str:
    flag = f"`{flag_of(each.name)}`"
    if hint is bool:
        flag += f", `--no-{flag_of(each.name).removeprefix('--')}`"
    meaning = each.metadata["help"].replace("<", "&lt;")
    return f"| `{each.name}` | {flag} | {takes(hint)} | {_default(each.default)} | {meaning} |\n"


def _default(value: object) -> str:
    if value is MISSING:
        raise ValueError("every setting has a default")
    return "" if value in ("", ()) else f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def in_page(text: str) -> str:
    """The table that the page has now."""
    return text.partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Put the table of today into the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
