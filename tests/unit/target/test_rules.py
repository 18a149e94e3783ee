"""What a target runs, and what it refuses in one line before anything is run."""

import pytest

from schedtel.errors import UsageError
from schedtel.experiments.spec import spec_of
from schedtel.target.rules import Rules, presets_without_programs
from schedtel.workloads.presets import preset_names
from schedtel.workloads.spec import load_workload

PRESETS = presets_without_programs()
HOGS = '[classes.hog]\narrival = "closed"\nservice = "2ms"\n'


def asked(workload="web", scheduler="eevdf", **more):
    return spec_of({"workloads": [workload], "schedulers": [scheduler], "duration": "1s", **more}, "the experiment")


def refused(rules, spec, files=None):
    with pytest.raises(UsageError) as caught:
        rules.allow(spec, files or {})
    assert str(caught.value).isprintable()
    return str(caught.value)


def uploaded(text, **rules):
    """Why a workload of a controller is refused; empty if it is not."""
    given = Rules((0, 1), PRESETS, uploads=True, **rules)
    try:
        given.allow(asked("x.toml"), {"x.toml": text})
    except UsageError as error:
        return str(error)
    return ""


def test_by_default_no_program_of_others_is_run():
    assert set(preset_names()) - set(PRESETS) == {n for n in preset_names() if load_workload(n).externals}
    assert "allowed are" in refused(Rules((0,), PRESETS), asked("stress"))
    assert Rules((0,), ("stress",)).allow(asked("stress"), {}).keys() == {"stress"}


def test_only_the_workloads_that_are_named_are_run():
    rules = Rules((0,), ("web", "pipe"))
    assert rules.allow(asked("web"), {}).keys() == {"web"}
    assert refused(rules, asked("batch")) == "cannot run workload 'batch': allowed are web, pipe"
    for name in ("../web", "/etc/passwd", "x.toml", "web\x1b[2J", "w" * 5000):
        assert "allowed are web, pipe" in refused(rules, asked(name))
    with pytest.raises(UsageError, match="it is no preset"):
        Rules((0,), ("wbe",))


@pytest.mark.parametrize(
    ("arm", "allowed"),
    [
        ("eevdf", True),
        ("policy:slice=0.1ms", True),
        ("policy:hog:idle+request:rr=5", True),
        ("policy:hog:cpus=0", True),
        ("policy:hog:cpus=2", False),
        ("policy:comm=sshd:idle", False),
        ("policy:pid=1:idle", False),
        ("policy:hog:idle+unit=ssh.service:nice=19", False),
        ("policy:cgroup=/system.slice:weight=1", False),
        ("policy:weight=1", False),
        ("scx:simple", False),
    ],
)
def test_by_default_an_arm_reaches_the_workloads_own_classes_alone(arm, allowed):
    rules = Rules((0, 1), PRESETS)
    if allowed:
        rules.allow(asked(scheduler=arm), {})
    else:
        assert arm in refused(rules, asked(scheduler=arm))


def test_patterns_say_which_arms_are_allowed_and_no_pattern_gives_other_cpus():
    rules = Rules((0, 1), PRESETS, schedulers=("eevdf", "scx:*", "policy:hog:*"))
    for arm in ("eevdf", "scx:simple", "policy:hog:idle", "policy:hog:cpus=1"):
        rules.allow(asked(scheduler=arm), {})
    assert "allowed are eevdf, scx:*, policy:hog:*" in refused(rules, asked(scheduler="policy:idle"))
    assert "CPU 3 is not among 0, 1" in refused(rules, asked(scheduler="policy:hog:cpus=3"))


def test_each_rule_of_an_arm_needs_a_pattern_unless_the_arm_is_named_as_it_is():
    rules = Rules((0, 1), PRESETS, schedulers=("policy:hog:*", "policy:a:idle+b:rr=5"))
    for arm in ("policy:hog:idle+hog:cpus=0", "policy:a:idle+b:rr=5"):
        rules.allow(asked(scheduler=arm), {})
    for arm in ("policy:hog:idle+pid=1:nice=19", "policy:a:idle", "policy:a:idle+b:rr=5+hog:idle"):
        assert "allowed are policy:hog:*" in refused(rules, asked(scheduler=arm))


@pytest.mark.parametrize("schedulers", [(), ("scx:*",), ("policy:hog:*", "scx:simple")])
def test_an_agent_has_eevdf_and_the_arms_that_are_named(schedulers):
    rules = Rules((0, 1), PRESETS, schedulers=schedulers)
    rules.allow_agent(["eevdf"])
    for arm, pattern in (("policy:hog:idle", "policy:hog:*"), ("scx:simple", "scx:"), ("policy:short:rr=5", "none")):
        assert (rules.why_not(arm) == "") == any(allowed.startswith(pattern) for allowed in schedulers)
    assert "cannot use scheduler 'loader:x'" in rules.why_not("loader:x")
    assert "cannot use" in rules.why_not("policy:hog:cpus=7")


def test_a_run_is_bounded_in_time_and_tasks():
    spec = spec_of({"workloads": ["web"], "schedulers": ["eevdf"], "duration": "59s"}, "x")
    Rules((0,), PRESETS).allow(spec, {})
    longer = spec_of({"workloads": ["web"], "schedulers": ["eevdf"], "duration": "59.1s"}, "x")
    assert "at most 60.0 s is allowed" in refused(Rules((0,), PRESETS), longer), "the drain of a second counts"
    assert "it has 66 tasks" in refused(Rules((0,), PRESETS, max_tasks=65), asked("web"))
    tree = 'duration = "1s"\n' + HOGS + 'workers = 3\nbehaviour = { kind = "fork", depth = 3, fan = 4 }\n'
    assert "it has 255 tasks" in uploaded(tree, max_tasks=254), "three trees of 1 + 4 + 16 + 64"
    assert uploaded(tree, max_tasks=255) == ""
    pairs = 'duration = "1s"\n' + HOGS + 'workers = 3\nbehaviour = { kind = "pipe", rounds = 2 }\n'
    assert "it has 6 tasks" in uploaded(pairs, max_tasks=5)


def test_a_workload_of_a_controller_is_run_only_where_that_is_allowed():
    spec = asked("x.toml")
    assert "takes no files" in refused(Rules((0,), PRESETS), spec, {"x.toml": HOGS})
    assert "no workload has this name" in refused(Rules((0,), PRESETS, uploads=True), asked(), {"x.toml": HOGS})
    assert "a preset has this name" in refused(Rules((0,), PRESETS, uploads=True), asked("web"), {"web": HOGS})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[external.x]\ntool = "stress-ng"\n', "it runs programs of others"),
        (HOGS + 'behaviour = { kind = "file", size = 10, directory = "/etc" }\n', "names a directory"),
        (HOGS + 'behaviour = { kind = "file", size = 2000000000 }\n', "size is 2000000000"),
        (HOGS + 'workers = 3\nbehaviour = { kind = "memory", size = 400000000 }\n', "it touches 1,200,000,000 bytes"),
        (HOGS + 'policy = "fifo"\npriority = 99\n', "would outrank what ends it"),
        (HOGS + 'policy = "deadline"\nruntime = "1ms"\ndeadline = "2ms"\nperiod = "2ms"\n', "would outrank"),
        (HOGS + "cpus = [5]\n", "CPU 5 is not among 0, 1"),
        ('[classes.a]\narrival = { kind = "recorded", recording = "/root/x" }\n', "reads a recording"),
        (HOGS + "color = 1\n", "unknown field 'color'"),
        ("\0", "cannot use workload"),
        ("[" * 5000, "cannot use workload"),
    ],
)
def test_a_workload_of_a_controller_does_nothing_but_its_own_tasks_work(text, why):
    found = uploaded('duration = "1s"\n' + text)
    assert why in found
    assert found.isprintable()


def test_a_workload_of_a_controller_that_does_so_is_run():
    plain = HOGS + 'policy = "rr"\npriority = 90\nbehaviour = { kind = "file", size = 1000 }\ncpus = [1]\n'
    assert uploaded('duration = "1s"\n' + plain) == ""
