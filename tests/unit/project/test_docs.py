"""The documentation against the code: tables, commands, options, links, every name in backticks, and internal words."""

import re
import subprocess
from pathlib import Path

import click
import pytest

import schedtel
from schedtel import features
from schedtel.cli import group
from schedtel.export import definitions
from schedtel.windows import schema

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
#: What a user reads: the README and all pages below docs/.
MANUAL = "\n".join(page.read_text() for page in PAGES if page.parent != ROOT or page.name == "README.md")
#: Where names come from that pages mention, and what a bare file name may be that of.
SOURCES = [
    path
    for folder in ("bpf", "schedtel", "cli", "benchmarks", "tests", "docs/site", "scripts", "deploy", "dashboards")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and path.parent.name not in ("_bpf", "_native", "__pycache__")
]


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
#: Named on a page, defined elsewhere: in the kernel, in libbpf, in Python and its libraries, in PromQL.
FOREIGN_FUNCTIONS = {
    "copy_process",
    "de_thread",
    "kernel_clone",
    "exit_mm",
    "exit_notify",
    "wakeup_preempt",
    "rcu_read_lock",
}
FOREIGN_FUNCTIONS |= {"trace_call_bpf", "bpf_disable_instrumentation", "bpf_task_storage_trylock", "kmalloc_nolock"}
FOREIGN_FUNCTIONS |= {"bpf_core_read", "bpf_core_field_exists", "bpf_ktime_get_ns", "bpf_preempt_disable"}
FOREIGN_FUNCTIONS |= {
    "read",
    "membarrier",
    "flatten",
    "unique",
    "dumps",
    "_import_from_c",
    "partitioning",
    "rate",
    "topk",
}
FOREIGN_CLASSES = {"RecordBatch"}


def test_the_page_of_tables_is_what_schema_prints():
    page = (ROOT / "docs" / "tables.md").read_text()
    assert page[page.index("## ") :] == schema.markdown(), "out of date: see CONTRIBUTING.md, how to add a column"


def test_the_page_of_metrics_is_what_schema_prints():
    page = (ROOT / "docs" / "exported-metrics.md").read_text()
    assert page[page.index("| Prometheus") :] == definitions.markdown(), "out of date: schedtel schema --format metrics"


def test_the_page_of_features_is_what_schema_prints():
    page = (ROOT / "docs" / "features.md").read_text()
    assert page[page.index("| feature | unit") :] == features.markdown(), (
        "out of date: schedtel schema --format features"
    )


def test_the_page_of_features_has_every_name_of_the_study_and_what_it_is_here():
    page = (ROOT / "docs" / "features.md").read_text()
    rows = dict(re.findall(r"^\| `(T_\w+)` \| `(\w+)` \| \S.* \|$", page, re.MULTILINE))
    assert rows == features.STUDY


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
    assert f"`schedtel {name}`" in MANUAL
    assert f"$ schedtel {name}" in MANUAL


def test_options_in_the_readme_exist():
    known = {option for command in COMMANDS.values() for parameter in command.params for option in parameter.opts}
    for line in re.findall(r"^\$ schedtel (\w+) ([^|#\n]*)", MANUAL, re.MULTILINE):
        given = line[1].partition(" -- ")[0]
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", " " + given)) <= known, line


def test_the_readme_explains_every_loss_counter():
    counters = ("ring_dropped", "state_failed", "samples_discarded", "programs_skipped")
    assert [name for name in counters if f"`{name}`" not in MANUAL] == []


def test_the_readme_names_every_kind_of_error():
    errors = [name for name in schedtel.__all__ if name.endswith("Error")]
    assert [name for name in errors if f"{name}`" not in MANUAL] == []


def _id(page: Path) -> str:
    return str(page.relative_to(DOCS if page.is_relative_to(DOCS) else ROOT))


each_page = pytest.mark.parametrize("page", PAGES, ids=_id)


def _prose(page: Path) -> str:
    """A page without its blocks of code: what the words of its author say."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def _named(page: Path) -> list[str]:
    """What a page has in backticks."""
    return re.findall(r"`([^`\n]+)`", _prose(page))


def _words(*folders: str) -> str:
    """The text of all sources below some folders."""
    below = [path for path in SOURCES if str(path.relative_to(ROOT)).startswith(folders)]
    return "\n".join(path.read_text(errors="replace") for path in below if path.suffix in {".py", ".c", ".h", ".js"})


OURS = _words("bpf", "schedtel", "cli", "benchmarks")


@each_page
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
    defined = set(re.findall(r"^def (test_\w+)", _words("tests"), re.MULTILINE))
    named = {name for page in PAGES for text in _named(page) for name in re.findall(r"^(test_\w+)(?:\[\w+\])?$", text)}
    assert named
    assert named - defined == set()


def _missing_functions(texts: list[str]) -> set[str]:
    """Functions that are called in some texts, by whole words, and neither ours nor known to be another's."""
    called = {name for text in texts for name in re.findall(r"\b(\w+)\(", text)} - FOREIGN_FUNCTIONS
    return {name for name in called if not re.search(rf"\b{name}\(|BPF_PROG\({name},", OURS)}


def test_functions_named_in_the_architecture_exist():
    pages = [page for page in PAGES if page.name == "architecture.md" or page.parent.name == "architecture"]
    assert len(pages) > 1
    assert {_id(page): missing for page in pages if (missing := _missing_functions(_named(page)))} == {}


@each_page
def test_functions_in_backticks_exist(page):
    assert _missing_functions(_named(page)) == set()


@pytest.mark.parametrize("text", ["n_switch()", "on_switc()", "aken_books()", "Window.ndjson_part()"])
def test_a_part_of_a_name_is_no_name(text):
    assert _missing_functions([text]) == {text.rpartition(".")[2].removesuffix("()")}


@each_page
def test_classes_in_backticks_exist(page):
    classes = {name for text in _named(page) for name in re.findall(r"(?<![\w.-])[A-Z][a-z]+[A-Z]\w+(?!\w)", text)}
    assert {name for name in classes - FOREIGN_CLASSES if not re.search(rf"\bclass {name}\b", OURS)} == set()


@each_page
def test_files_in_backticks_exist(page):
    """A path by its place in the tree, a bare name by being the name of a file there."""
    tops = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"build", "dist"}
    known = {path.name for path in SOURCES}
    missing = set()
    for text in _named(page):
        if re.fullmatch(r"[\w./-]+/[\w.-]*", text) and text.partition("/")[0] in tops:
            missing |= set() if (ROOT / text).exists() else {text}
        elif re.fullmatch(r"[\w-]+(\.bpf)?\.(py|c|h|js|json|md|service)", text):
            missing |= set() if text in known or (ROOT / text).exists() or (DOCS / text).exists() else {text}
    assert missing == set()


def test_every_public_name_is_in_the_reference_and_says_what_it_is():
    reference = re.findall(r"^::: schedtel\.(?:\w+\.)*(\w+)$", (DOCS / "reference.md").read_text(), re.MULTILINE)
    assert sorted(reference) == sorted(schedtel.__all__)
    names = [name for name in schedtel.__all__ if name != "__version__"]
    assert [name for name in names if not getattr(schedtel, name).__doc__] == []


@pytest.mark.parametrize(("name", "most"), [("README.md", 9216), ("CONTRIBUTING.md", 10240)])
def test_what_is_read_first_is_short(name, most):
    assert (ROOT / name).stat().st_size <= most


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
