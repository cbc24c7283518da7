"""Writes the dashboards' JSON.

After a change of a board::

    python -m deploy.grafana.write
"""

import json
from pathlib import Path

from deploy.grafana.boards import BOARDS

FOLDER = Path(__file__).parent / "dashboards"


def files() -> dict[str, str]:
    """File name → text, for every board."""
    return {f"{board.uid}.json": json.dumps(board.as_json(), indent=2, ensure_ascii=False) + "\n" for board in BOARDS}


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
