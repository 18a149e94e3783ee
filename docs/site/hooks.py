"""The site's hooks: pages whose links work on GitHub in; the same links in the site out, and what is wrong refused.

README, CONTRIBUTING, CHANGELOG and the files that pages link to lie outside of docs/. They join the site under the path
that they have in the repository, and links between the two are rewritten.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import schedtel

ROOT = Path(__file__).parent.parent.parent
#: Not of docs/, and still a page or a file of the site.
OUTSIDE = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "LICENSES/GPL-2.0-only.txt",
    "LICENSES/BSD-2-Clause.txt",
    "benchmarks/results/results.md",
    "dashboards/schedtel.json",
)
_LINK = re.compile(r"(\]\()(?!https?:|#)([^)\s#]+)")
#: What a browser would fetch by itself from elsewhere.
_FETCHED = re.compile(r"<(?:script|img|link(?![^>]*canonical))[^>]*(?:src|href)=[\"']?(https?:[^\"'> ]+)")


def on_files(files: Files, config: dict) -> Files:
    """Adds the files from outside of docs/."""
    for name in OUTSIDE:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Rewrites links that lead out of docs/, or into it."""
    where = page.file.src_uri
    folder = (ROOT / where if where in OUTSIDE else ROOT / "docs" / where).parent

    def rewritten(match: re.Match[str]) -> str:
        target = os.path.relpath(os.path.normpath(folder / match[2]), ROOT).removeprefix("docs/")
        return match[1] + os.path.relpath(target, os.path.dirname(where) or ".")

    return _LINK.sub(rewritten, markdown)


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Raises :class:`PluginError` for a page that asks for something from elsewhere."""
    if elsewhere := _FETCHED.findall(output):
        raise PluginError(f"{page.file.src_uri} asks for {elsewhere[0]}: the site must work without the network")
    return output


def on_post_build(config: dict) -> None:
    """Raises :class:`PluginError` for a public name without a docstring, or without a place in the reference."""
    reference = (Path(config["site_dir"]) / "reference.html").read_text()
    for name in schedtel.__all__:
        if not re.search(rf'id="schedtel(\.\w+)*\.{name}"', reference):
            raise PluginError(f"schedtel.{name} is not in docs/reference.md (add a line `::: schedtel.{name}`)")
        for undocumented in _undocumented(name):
            raise PluginError(f"{undocumented} has no docstring")


def _undocumented(name: str) -> list[str]:
    """A public name with its public methods and properties, as far as they have no docstring; inherited ones count."""
    public = getattr(schedtel, name)
    if isinstance(public, str):  # the version
        return []
    members = inspect.getmembers(public, _is_method) if inspect.isclass(public) else []
    named = {name: public} | {f"{name}.{member}": value for member, value in members if not member.startswith("_")}
    return [f"schedtel.{key}" for key, value in named.items() if not inspect.getdoc(value)]


def _is_method(member: object) -> bool:
    return inspect.isroutine(member) or isinstance(member, property | functools.cached_property)
