"""The files in deploy/, as far as they can be judged without running them: units, image, DaemonSet, command lines."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from schedtel.cli import group

ROOT = Path(__file__).parents[3]
UNITS = sorted((ROOT / "deploy").glob("*.service"))
CONTAINERFILE = (ROOT / "deploy" / "Containerfile").read_text()
DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text()
#: systemd's own score, in tenths, and the capabilities of a unit. The agent sets how threads of all users run,
#: so it is root, and writes below /run and /sys/fs/cgroup.
TELEMETRY, AGENT = (20, ["CAP_BPF", "CAP_PERFMON"]), (35, ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_NICE", "CAP_IPC_LOCK"])
MOST = {unit.name: AGENT if unit.stem == "schedtel-agent" else TELEMETRY for unit in UNITS}


def assert_is_a_command(words):
    """Assert that the command line parses, without running it."""
    command = group.get_command(click.Context(group), words[0])
    assert command is not None, words
    command.make_context(words[0], list(words[1:]))


def systemd_analyze(*words):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze to judge a unit (apt install systemd)")
    return subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_every_line_of_a_unit(unit, tmp_path):
    """The unit gets a command that exists: schedtel may not be installed where the test runs."""
    text, replaced = re.subn(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
    assert replaced == 1
    (tmp_path / unit.name).write_text(text)
    found = systemd_analyze("verify", tmp_path / unit.name)
    # systemd-analyze also reads related units of the machine, whose faults are not ours.
    assert [line for line in found.stderr.splitlines() if unit.stem in line] == []
    (tmp_path / unit.name).write_text(text + "\n[Service]\nNoSuchSetting=yes\n")
    assert "NoSuchSetting" in systemd_analyze("verify", tmp_path / unit.name).stderr


def test_the_readmes_addition_to_a_unit_fits_it(tmp_path):
    (addition,) = re.findall(r"```ini\n(.*?)```", DEPLOYMENT, re.DOTALL)
    (start,) = re.findall(r"^ExecStart=(.+)$", addition, re.MULTILINE)
    assert_is_a_command(shlex.split(start)[1:])
    (tmp_path / "together.service").write_text(
        (UNITS[-1].read_text() + addition).replace("/usr/local/bin/schedtel", "/bin/true")
    )
    found = systemd_analyze("verify", tmp_path / "together.service")
    assert [line for line in found.stderr.splitlines() if "together" in line] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_hardly_exposed(unit):
    found = systemd_analyze("security", "--offline=true", f"--threshold={MOST[unit.name][0]}", unit)
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_runs_a_command_with_these_capabilities_alone(unit):
    lines = unit.read_text().splitlines()
    (start,) = [line.partition("=")[2] for line in lines if line.startswith("ExecStart=")]
    assert_is_a_command(shlex.split(start)[1:])
    capabilities = [line.partition("=")[2].split() for line in lines if "Capabilit" in line.partition("=")[0]]
    assert capabilities
    assert all(each == MOST[unit.name][1] for each in capabilities), capabilities


def test_the_image_copies_what_is_there_and_all_that_the_package_is_made_of():
    copied = [line.split()[1:-1] for line in CONTAINERFILE.splitlines() if re.match(r"COPY (?!--from)", line)]
    names = {name for words in copied for name in words}
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert names >= {
        "pyproject.toml",
        "setup.py",
        "schedtel_start.py",
        "MANIFEST.in",
        "LICENSES",
        "bpf",
        "cli",
        "schedtel",
    }


def test_the_image_is_built_with_what_the_build_needs():
    needed = re.findall(r"need ([a-z][a-z-]+)$", (ROOT / "scripts" / "system-packages").read_text(), re.MULTILINE)
    build = CONTAINERFILE.partition("AS build")[2].partition("\nFROM")[0]
    assert {"clang", "libbpf-dev"} <= set(needed), "the pattern finds what the script asks for"
    tests_alone = {"util-linux", "gcc", "libc6-dev"}
    assert [name for name in set(needed) - tests_alone if f" {name}" not in build] == []


def test_the_daemonset_asks_for_what_the_readme_asks_for():
    yaml = pytest.importorskip("yaml", reason="needs PyYAML to read the DaemonSet")
    pod = yaml.safe_load((ROOT / "deploy" / "daemonset.yaml").read_text())["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert_is_a_command(container["args"])
    security = container["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["BPF", "PERFMON"]}
    assert (security["allowPrivilegeEscalation"], security["readOnlyRootFilesystem"]) == (False, True)
    assert pod["hostPID"] is True
    assert {v["name"] for v in pod["volumes"]} == {m["name"] for m in container["volumeMounts"]}
    (cgroup,) = [m for m in container["volumeMounts"] if m["mountPath"] == "/sys/fs/cgroup"]
    assert cgroup["readOnly"] is True


def test_the_readme_runs_the_image_with_a_command():
    runs = re.findall(r"\$ podman run (.*?)\n(?!      )", DEPLOYMENT.replace("\\\n", ""), re.DOTALL)
    assert runs
    for line in runs:
        assert "--cap-drop=ALL --cap-add=BPF --cap-add=PERFMON" in " ".join(line.split())
        assert_is_a_command(shlex.split(line.partition(" schedtel ")[2]))
