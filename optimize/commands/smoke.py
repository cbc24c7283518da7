"""What ``--smoke`` of every command makes of a recipe's pictures."""

from typing import Any

Content = dict[str, Any]

# For CI: every step is taken, nothing is learnt and no figure means anything.
FEW_PICTURES: Content = {"data.limit": 8, "data.look_alikes": False}


def with_little_held_out(content: Content) -> Content:
    """``data.hold_out`` no more than ``data.limit``: of few pictures, few can be taken for the test."""
    data = content.get("data")
    limit, held_out = (data.get(key) for key in ("limit", "hold_out")) if isinstance(data, dict) else (0, 0)
    if not (isinstance(limit, int) and isinstance(held_out, int) and 0 < limit < held_out):
        return content
    return {**content, "data": {**content["data"], "hold_out": limit}}
