"""The path of a file in; the git commit that its work tree is at, and whether something in it differs, out.

A work tree may be another's, and git runs what its settings name. So git runs as the owner of the tree, or not at all,
and what could start a program of others is switched off: hooks, the file system monitor and filters.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from schedtel.experiments.provenance import Fact

_PATIENCE_S = 10
_ENVIRONMENT = {
    "PATH": os.defpath,
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
_SAFE = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "submodule.recurse=false")
#: Settings of a filter that name a program. An empty one is none.
_FILTERS = ("clean", "smudge", "process")


def revision_of(path: str | os.PathLike[str]) -> dict[str, Fact]:
    """``git_commit`` and ``git_dirty`` of the work tree that a file is in; empty where it is in none that can be read.

    ``git_dirty`` is true where a file that git knows differs from the commit, or where git does not know the file
    itself.
    """
    folder = Path(path).resolve().parent
    program = shutil.which("git")
    as_owner = _as_owner(folder)
    if program is None or as_owner is None:
        return {}
    run = partial(_output, program, folder, as_owner, _SAFE)
    commit = run(["rev-parse", "--verify", "HEAD"])
    if commit is None:
        return {}
    run = partial(_output, program, folder, as_owner, [*_SAFE, *_without_filters(run)])
    changes = run(["status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all"])
    known = run(["ls-files", "--error-unmatch", "--", Path(path).resolve().name])
    dirty = None if changes is None else bool(changes) or known is None
    return {"git_commit": commit.strip(), "git_dirty": dirty}


def _as_owner(folder: Path) -> dict[str, object] | None:
    """Arguments for a process that runs as the folder's owner; None where this user may not start one."""
    owner = folder.stat().st_uid
    if owner == os.geteuid():
        return {}
    if os.geteuid() != 0:
        return None
    try:
        group = pwd.getpwuid(owner).pw_gid
    except KeyError:
        group = owner
    return {"user": owner, "group": group, "extra_groups": []}


def _without_filters(run: Callable[[Sequence[str]], str | None]) -> list[str]:
    """Settings that switch off each filter that the work tree's own settings have."""
    named = run(["config", "--name-only", "--get-regexp", r"^filter\..*\.(clean|smudge|process|required)$"]) or ""
    filters = {name.rpartition(".")[0] for name in named.splitlines()}
    switched = [f"{name}.{setting}=" for name in sorted(filters) for setting in _FILTERS]
    return switched + [f"{name}.required=false" for name in sorted(filters)]


def _output(
    program: str, folder: Path, as_owner: dict[str, object], settings: Sequence[str], words: Sequence[str]
) -> str | None:
    """What git says, or None where it fails."""
    options = [word for setting in settings for word in ("-c", setting)]
    try:
        done = subprocess.run(
            [program, *options, *words],
            cwd=folder,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
            **as_owner,  # type: ignore[call-overload]
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return str(done.stdout.decode(errors="replace")) if not done.returncode else None
