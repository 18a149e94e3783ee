"""Docstrings as they stand in the code in; without the roles of Sphinx, and with one line a parameter, out."""

import re

import griffe

import schedtel

_ROLE = re.compile(r":(?:class|func|meth|mod|attr):`~?([\w.]+)`")
_PARAMETERS = re.compile(r"^:param (\w+), (\w+): (.*)$", re.MULTILINE)


def _linked(match: re.Match[str]) -> str:
    """A public name becomes a link to its place in the reference, another name stands as it is."""
    name = match[1].removeprefix("schedtel.")
    if name not in schedtel.__all__:
        return f"`{match[1]}`"
    place = "schedtel.live.live" if name == "live" else f"schedtel.{name}"  # schedtel.live is the module, too
    return f"[`{name}`][{place}]"


def _parameters_last(text: str) -> str:
    """What follows the parameters goes before them: to griffe it would be part of the last one."""
    parts = re.split(r"\n\n", text)
    return "\n\n".join(sorted(parts, key=lambda part: part.startswith(":param")))


class Roles(griffe.Extension):
    """Rewrites every docstring of the package once it is read."""

    def on_instance(self, *, obj: griffe.Object, **_: object) -> None:
        if obj.docstring:
            text = _PARAMETERS.sub(r":param \1: \3\n:param \2: see ``\1``", obj.docstring.value)
            obj.docstring.value = _ROLE.sub(_linked, _parameters_last(text))
