"""What tells members of one recipe apart: a seed of their own, and settings where these are given."""

from typing import Annotated

from pydantic import Field

from optimize.search.options import Value

# Tables of recipe fields by dotted path, one for each member: ``[{"model.architecture" = "resnet18"}, …]``.
Variants = Annotated[list[dict[str, Value]], Field(default_factory=list, max_length=100)]
Count = Annotated[int, Field(ge=2, le=100)]


def values_of(index: int, variants: list[dict[str, Value]], seed: int) -> dict[str, Value]:
    """Fields of member ``index``: seeds count up from the recipe's, variants come round and round."""
    own = variants[index % len(variants)] if variants else {}
    return {"seed": seed + index, **own}
