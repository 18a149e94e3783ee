"""The environment of the process in; the directory of models where the user names none, out."""

import os
from pathlib import Path


def default_registry() -> Path:
    """``schedtel/models`` in the user's directory for data (XDG Base Directory Specification)."""
    given = os.environ.get("XDG_DATA_HOME", "")
    # The specification has relative paths ignored.
    base = Path(given) if os.path.isabs(given) else Path.home() / ".local" / "share"
    return base / "schedtel" / "models"
