"""An unknown word and the known ones in; advice for an error message out."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest of the known words, or all of them in their order."""
    words = list(dict.fromkeys(known))
    near = difflib.get_close_matches(word, words, 1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(words)}"
