"""The documentation against the code: tables, commands, options, links, and words that must not leave the workshop."""

import re
import subprocess
from pathlib import Path

import click
import pytest

import schedtel
from schedtel.cli import group
from schedtel.export import definitions
from schedtel.windows import schema

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def _commands(parent: click.Group, prefix: str = "") -> dict[str, click.Command]:
    """All commands that do something, those inside of others by both words."""
    context, found = click.Context(parent), {}
    for name in parent.list_commands(context):
        command = parent.get_command(context, name)
        found |= _commands(command, f"{name} ") if isinstance(command, click.Group) else {prefix + name: command}
    return found


COMMANDS = _commands(group)
#: Names of places on the machines this was written on. Put together here, so that this file does not contain them.
INTERNAL_WORDS = re.compile(r"\bshared" + r"/|(?<![\w)\]])\." + r"library\b|(?<!\w)/work" + r"/")
#: Named in the architecture, defined elsewhere: in the kernel, in libbpf, in Python.
FOREIGN_FUNCTIONS = {"copy_process", "kernel_clone", "exit_mm", "exit_notify", "bpf_core_read", "read", "membarrier"}
FOREIGN_FUNCTIONS |= {"trace_call_bpf", "bpf_disable_instrumentation", "bpf_task_storage_trylock", "kmalloc_nolock"}


def test_the_page_of_tables_is_what_schema_prints():
    page = (ROOT / "docs" / "tables.md").read_text()
    assert page[page.index("## ") :] == schema.markdown(), "out of date: see CONTRIBUTING.md, how to add a column"


def test_the_page_of_metrics_is_what_schema_prints():
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert page[page.index("| Prometheus") :] == definitions.markdown(), "out of date: schedtel schema --format metrics"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does(name):
    assert COMMANDS[name].help
    assert COMMANDS[name].short_help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name):
    options = [parameter for parameter in COMMANDS[name].params if isinstance(parameter, click.Option)]
    assert options
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_shows_every_command(name):
    assert f"`schedtel {name}`" in README
    assert f"$ schedtel {name}" in README or f"`schedtel {name} " in README


def test_options_in_the_readme_exist():
    known = {option for command in COMMANDS.values() for parameter in command.params for option in parameter.opts}
    for line in re.findall(r"^\$ schedtel (\w+) ([^|#\n]*)", README, re.MULTILINE):
        given = line[1].partition(" -- ")[0]
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", " " + given)) <= known, line


def test_the_readme_explains_every_loss_counter():
    counters = ("ring_dropped", "state_failed", "samples_discarded", "programs_skipped")
    assert [name for name in counters if f"`{name}`" not in README] == []


def test_the_readme_names_every_kind_of_error():
    errors = [name for name in schedtel.__all__ if name.endswith("Error")]
    assert [name for name in errors if f"{name}`" not in README] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in _anchors(linked.read_text()), target


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_guards_named_in_the_architecture_exist():
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
    assert set(re.findall(r"`(test_\w+)`", ARCHITECTURE)) - defined == set()


def test_functions_named_in_the_architecture_exist():
    sources = "".join(
        path.read_text()
        for folder in ("bpf", "schedtel", "cli")
        for path in (ROOT / folder).rglob("*.[chp]*")
        if path.is_file() and path.suffix in (".c", ".h", ".py")
    )
    ours = set(re.findall(r"`(\w+)\(\)`", ARCHITECTURE)) - FOREIGN_FUNCTIONS
    assert {name for name in ours if f"{name}(" not in sources and f"BPF_PROG({name}," not in sources} == set()


def test_internal_words_stay_out_of_tracked_files():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=False)
    if listing.returncode:
        pytest.skip(f"git cannot list files: {listing.stderr.decode().strip()}")
    found = {}
    for name in filter(None, listing.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file():
            found[name] = INTERNAL_WORDS.findall(path.read_bytes().decode(errors="replace"))
    assert {name: words for name, words in found.items() if words} == {}
