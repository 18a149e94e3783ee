"""A directory in; objects by the sha256 of their bytes, and names that lead to versions, out.

    weights/DIGEST     safetensors
    graphs/DIGEST      a graph as JSON
    manifests/DIGEST   what is known of a version; its digest is the version's name
    names/NAME         the history of versions under a name, the newest last, with a digest of its own
    lock               held by whoever writes

An object is compared with its digest whenever it is read, before it is used. It appears when it is whole and on the
disk, and never changes, so readers need no lock. Writers hold one, for as long as they decide: two that change a name
at once do so one after the other, and each sees what the other did.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from schedtel.access.directories import open_directory
from schedtel.access.files import read_with_mode, write_whole
from schedtel.dags.dag import Dag
from schedtel.dags.spec import as_table, parse_graph
from schedtel.errors import RecordingError, UsageError
from schedtel.models.manifest import DIGEST, Manifest, canonical, digest_of, parse_manifest
from schedtel.models.network import Network
from schedtel.models.weights import MOST_BYTES, Arrays, parse_weights, weights_bytes
from schedtel.suggestions import did_you_mean

KINDS = ("weights", "graphs", "manifests")
_NAMES, _LOCK = "names", "lock"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LEAST_DIGITS = 8
_MOST_VERSIONS = 10_000


class Store:
    """A registry of models in a directory, which the first write makes."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer; the directory is this user's own.

        Raises :class:`UsageError` for a directory that others can write to, :class:`OSError` where none can be made.
        """
        for folder in (*KINDS, _NAMES):
            os.close(open_directory(self.root / folder))
        lock = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _put(self, kind: str, content: bytes) -> str:
        name = digest_of(content)
        try:
            self.read(kind, name)
        except UsageError:  # missing, or damaged: this is what it was
            self._write(kind, name, content)
        return name

    def _write(self, folder: str, name: str, content: bytes) -> None:
        directory = open_directory(self.root / folder)
        try:
            write_whole(name, content, folder=directory)
        except OSError as error:
            raise RecordingError(
                f"cannot write {self.root}: {error.strerror} (choose another registry, or free space)"
            ) from error
        finally:
            os.close(directory)

    def put_weights(self, arrays: Arrays) -> str:
        """Keep arrays that make a network. Raises :class:`UsageError` for others."""
        Network(arrays)
        content = weights_bytes(arrays)
        parse_weights(content, "of the model")
        return self._put("weights", content)

    def put_graph(self, dag: Dag) -> str:
        """Keep a graph."""
        return self._put("graphs", canonical(as_table(dag)))

    def put(self, manifest: Manifest) -> str:
        """Keep a manifest; the name of its version."""
        return self._put("manifests", manifest.to_bytes())

    def read(self, kind: str, digest: str) -> bytes:
        """The bytes of an object. Raises :class:`UsageError` where it is missing, or not what was written."""
        content = read_with_mode(str(self.root / kind / digest), f"the registry's {kind}", MOST_BYTES)[0]
        if digest_of(content) != digest:
            raise UsageError(
                f"cannot use {kind} {digest[:12]}: its bytes are not those that were written "
                "(restore it from a copy, or roll back)"
            )
        return content

    def manifest(self, version: str) -> Manifest:
        """What is known of a version. Raises :class:`UsageError` where it is missing or damaged."""
        return parse_manifest(self.read("manifests", version), version)

    def arrays(self, version: str) -> Arrays:
        """The weights of a version. Raises :class:`UsageError` where they are missing or damaged."""
        weights = self.manifest(version).weights
        return parse_weights(self.read("weights", weights), weights[:12])

    def graph(self, digest: str, name: str) -> Dag:
        """A graph. Raises :class:`UsageError` where it is missing or damaged."""
        return parse_graph(_json(self.read("graphs", digest), digest), name)

    def names(self) -> list[str]:
        """All names, sorted."""
        with suppress(OSError):
            return sorted(name for name in os.listdir(self.root / _NAMES) if _NAME.fullmatch(name))
        return []

    def history(self, name: str) -> list[str]:
        """The versions under a name, the newest last. Raises :class:`UsageError` where there are none, or damaged."""
        checked_name(name)
        if name not in self.names():
            raise UsageError(f"cannot find model {name[:40]!r}: {self._known(name)}")
        content = read_with_mode(str(self.root / _NAMES / name), "name of a model")[0]
        table = _json(content, name)
        versions = table.get("history") if isinstance(table, dict) else None
        if (
            not isinstance(versions, list)
            or not 1 <= len(versions) <= _MOST_VERSIONS
            or not all(isinstance(version, str) and DIGEST.fullmatch(version) for version in versions)
            or table != _signed(versions)
        ):
            raise UsageError(f"cannot read model {name}: its history is damaged (restore it from a copy)")
        return versions

    def _known(self, name: str) -> str:
        names = self.names()
        return (
            f"the registry does not have it ({did_you_mean(name, names[:20])})"
            if names
            else (f"there is no model in {self.root} (add one: `schedtel models update`)")
        )

    def set_history(self, name: str, versions: list[str]) -> None:
        """Have a name lead to the last of these versions."""
        self._write(_NAMES, checked_name(name), canonical(_signed(versions)))

    def resolve(self, text: str) -> str:
        """The version that a name, or at least 8 digits of a version, stands for. Raises :class:`UsageError`."""
        if text in self.names():
            return self.history(text)[-1]
        if len(text) >= _LEAST_DIGITS and DIGEST.fullmatch(text.ljust(64, "0")):
            found = [name for name in self.digests("manifests") if name.startswith(text)]
            if len(found) == 1:
                return found[0]
        raise UsageError(f"cannot find model {text[:40]!r}: {self._known(text)}")

    def digests(self, kind: str) -> list[str]:
        """The digests of all objects of a kind, sorted."""
        with suppress(OSError):
            return sorted(name for name in os.listdir(self.root / kind) if DIGEST.fullmatch(name))
        return []


def checked_name(name: str) -> str:
    """A name that a model can have. Raises :class:`UsageError`."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"cannot call a model {name[:40]!r}: up to 64 of a-z, 0-9, '.', '_' and '-' are allowed (choose another)"
        )
    return name


def _signed(versions: list[str]) -> dict[str, Any]:
    return {"history": versions, "sha256": digest_of(canonical(versions))}


def _json(content: bytes, name: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"cannot read {name[:12]}: it is damaged (restore it from a copy)") from error
