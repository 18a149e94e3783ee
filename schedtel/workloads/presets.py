"""The workloads that ship with schedtel: a name in; its TOML, comments included, out."""

from functools import cache
from pathlib import Path

from schedtel.errors import UsageError
from schedtel.suggestions import did_you_mean

_DIRECTORY = Path(__file__).parent / "preset_files"


@cache
def preset_names() -> tuple[str, ...]:
    """The names of all presets, sorted."""
    return tuple(sorted(path.stem for path in _DIRECTORY.glob("*.toml")))


def preset_text(name: str) -> str:
    """The TOML of a preset. Raises :class:`UsageError` where there is none of this name."""
    if name not in preset_names():
        meant = did_you_mean(name, preset_names())
        raise UsageError(f"cannot show workload {name[:40]!r}: no preset has this name ({meant})")
    return (_DIRECTORY / f"{name}.toml").read_text(encoding="utf-8")
