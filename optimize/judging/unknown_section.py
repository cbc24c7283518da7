"""The section of a bundle's card that tells when its answer is "unknown".

It stands between marks, so that another can take its place.
"""

_BEGINS = "<!-- unknown -->"
_ENDS = "<!-- /unknown -->"


def with_section(card: str, says: str) -> str:
    """The card with these words as its section, in the place of those of an earlier threshold, or at the end.

    Args:
        says: a sentence without its stop.
    """
    section = f"{_BEGINS}\n## Unknown\n\n{says[:1].upper()}{says[1:]}.\n{_ENDS}"
    before, mark, rest = card.partition(_BEGINS)
    _, ends, after = rest.partition(_ENDS)
    if mark and ends:
        return f"{before}{section}{after}"
    return f"{card.rstrip()}\n\n{section}\n"
