"""What a workload may say, and one line for everything that it may not."""

import copy
import json
import tomllib

import pytest

from schedtel.errors import UsageError
from schedtel.workloads.plan import make_plan
from schedtel.workloads.policies import nice_of_weight
from schedtel.workloads.presets import preset_names, preset_text
from schedtel.workloads.spec import load_workload, parse_workload, workload_of

CLASS = '[classes.x]\narrival = { kind = "poisson", rate = 10 }\nservice = "1ms"\n'


def parsed(text):
    return parse_workload('duration = "1s"\n' + text, "w")


def test_every_preset_is_a_workload_and_says_what_it_is():
    assert set(preset_names()) >= {
        "hogs-probe",
        "hogs-jobs",
        "equal",
        "heavy-tailed",
        "bursty",
        "web",
        "batch",
        "pipe",
        "fork-storm",
        "frames",
        "compile",
        "editor",
    }
    for name in preset_names():
        assert load_workload(name).description, name


def test_defaults_are_what_the_page_says():
    (found,) = parsed(CLASS).classes
    assert (found.workers, found.tasks, found.life) == (16, "processes", False)
    assert (found.behaviour.kind, found.treatment.policy, found.treatment.nice) == ("cpu", "other", 0)
    workload = parsed(CLASS)
    assert (workload.seed, workload.late_ns, workload.drain_ns) == (1, 1_000_000, 1_000_000_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", "cannot use workload w: "),
        ("", r"field 'classes' is missing \(give it\)"),
        ("classes = 1", "classes must be from 1 to 64 tables"),
        (CLASS.replace("arrival", "arival"), r"unknown field 'arival' \(did you mean 'arrival'\?\)"),
        (CLASS.replace("rate", "raet"), r"classes.x.arrival: unknown field 'raet' \(did you mean 'rate'\?\)"),
        (CLASS + "polcy = 'rr'", r"classes.x: unknown field 'polcy' \(did you mean 'policy'\?\)"),
        ("durration = '5s'\n" + CLASS, r"unknown field 'durration' \(did you mean 'duration'\?\)"),
        (CLASS.replace("poisson", "posson"), r"kind is 'posson', which is unknown \(did you mean 'poisson'\?\)"),
        (CLASS + "policy = 'xyz'", r"policy is 'xyz', which is unknown \(known are batch, deadline, fifo"),
        (CLASS + "behaviour = 'fork'", "classes.x.behaviour: field 'depth' is missing"),
        (CLASS.replace("10", "0"), r"impossible rate 0: no job would arrive"),
        (CLASS.replace("10", "-5"), "rate is -5, and must be a number from 0 to 100000"),
        (CLASS.replace("10", "nan"), "rate is nan, and must be a number"),
        (CLASS.replace("10", "1e9"), "rate is 1000000000.0, and must be a number from 0 to 100000"),
        (CLASS.replace("10", '"10"'), "rate is '10', and must be a number"),
        (CLASS.replace("1ms", "1 parsec"), "classes.x.service: mean is '1 parsec', and must be a duration"),
        (CLASS.replace('"1ms"', "5"), "classes.x.service: it is 5 and no table"),
        (CLASS + "workers = 0", "workers is 0, and must be an integer from 1 to 1,024"),
        (CLASS + "workers = true", "workers is True, and must be an integer"),
        (CLASS + "life = 1", "life is 1, and must be true or false"),
        (CLASS + "life = true\ntasks = 'threads'", "a job that is a life is a process"),
        ("[classes.x]\narrival = 'closed'\nservice = '1ms'\nlife = true", "a closed class has no lives"),
        ("[classes.x]\narrival = 'closed'\nservice = 'recorded'", "service of a recording needs arrivals of one"),
        (CLASS + "weight = 512\nnice = 3", "weight and nice say the same"),
        (CLASS + "priority = 3", "policy 'other' has no priority"),
        (CLASS + "policy = 'fifo'\nnice = 3", r"policy 'fifo' has no nice \(other and batch have"),
        (CLASS + "policy = 'deadline'", "field 'runtime' is missing"),
        (CLASS + "deadline = '0s'", "deadline is '0s', and must be from 1 ns"),
        (CLASS + "deadline = 5", "deadline is 5, and must be a duration"),
        (CLASS + "cpus = []", "cpus is .*, and must be a list of one or more"),
        (CLASS + "cpus = [-1]", "cpus is -1, and must be a list of CPU numbers"),
        (CLASS.replace("classes.x", 'classes."a b"'), "its name is that of its tasks"),
        (CLASS.replace("classes.x", f"classes.{'x' * 16}"), "at most 15"),
        (CLASS + "behaviour = { kind = 'fork', depth = 10, fan = 10 }", "its tree has 11,111,111,110 tasks"),
        (
            CLASS.replace("poisson", "mmpp").replace("rate = 10", "rates = [1, 2], dwell = ['1s']"),
            "2 rates and 1 dwell",
        ),
        (CLASS + "[[phases]]\nduration = '1s'\nrates = { y = 2 }", r"phase 1, rates: unknown field 'y'"),
        (CLASS + "[[phases]]\nrates = { x = 2 }", "phase 1: field 'duration' is missing"),
        ("[classes.x]\narrival = 'closed'\nservice = '1ms'\n[[phases]]\nduration = '1s'\nrates = { x = 2 }", "x is 2"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text, message):
    with pytest.raises(UsageError, match=message) as found:
        parsed(text)
    assert "\n" not in str(found.value)


def test_a_deadline_is_of_any_policy_and_that_of_deadline_tells_the_kernel_too():
    (plain,) = parsed(CLASS + "deadline = '5ms'").classes
    (told,) = parsed(CLASS + "policy = 'deadline'\nruntime = '1ms'\ndeadline = '5ms'\nperiod = '9ms'").classes
    assert (plain.deadline_ns, plain.treatment.deadline_ns) == (5_000_000, 0)
    assert (told.deadline_ns, told.treatment.deadline_ns) == (5_000_000, 5_000_000)


def test_without_a_duration_it_is_that_of_the_phases():
    phases = '[[phases]]\nduration = "2s"\n[[phases]]\nduration = "3s"\nrates = { x = 2 }\n'
    assert parse_workload(CLASS + phases, "w").duration_ns == 5_000_000_000
    with pytest.raises(UsageError, match="field 'duration' is missing"):
        parse_workload(CLASS, "w")


def test_a_weight_is_the_nice_value_that_has_it_in_the_kernels_table():
    """sched_prio_to_weight of kernel/sched/core.c, some of its 40 values."""
    table = {-20: 88761, -10: 9548, -1: 1277, 0: 1024, 1: 820, 5: 335, 10: 110, 19: 15}
    assert {nice: nice_of_weight(weight) for nice, weight in table.items()} == {nice: nice for nice in table}


def test_canonical_bytes_leave_out_what_changes_no_plan():
    workload = parsed(CLASS)
    assert parsed("description = 'other'\nlate = '5ms'\n" + CLASS).canonical() == workload.canonical()
    assert parsed(CLASS + "deadline = '5ms'").canonical() == workload.canonical()
    assert parsed("seed = 2\n" + CLASS).canonical() != workload.canonical()
    assert json.loads(workload.canonical())["classes"][0]["name"] == "x"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("wep", "did you mean 'web'"),
        ("no/such.toml", "No such file"),
        ("/dev/zero", "no regular file"),
        ("a/\0.toml", "this is no path"),
    ],
)
def test_a_spec_that_is_none_is_refused(spec, message):
    with pytest.raises(UsageError, match=message):
        load_workload(spec)


#: In place of any value of any preset.
HOSTILE = [
    None,
    True,
    -1,
    0,
    1 << 70,
    1e308,
    float("nan"),
    float("-inf"),
    "",
    "x" * 5000,
    "\0",
    "5s",
    [],
    [[]],
    {},
    {"a": 1},
]


def places(table, path=()):
    """Every place of a value in nested tables and lists."""
    for key, value in table.items() if isinstance(table, dict) else enumerate(table):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def with_value(table, path, value):
    """A copy with another value at a place; None takes it out."""
    changed = copy.deepcopy(table)
    inside = changed
    for key in path[:-1]:
        inside = inside[key]
    if value is None:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return changed


def refusal(table, name):
    """What is said about a table; nothing where it can be planned."""
    try:
        make_plan(workload_of(table, name))
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", preset_names())
def test_any_value_anywhere_is_fine_or_refused_in_one_line(name):
    table = tomllib.loads(preset_text(name))
    assert refusal(table, name) == ""
    said = {
        (path, str(value)[:20]): refusal(with_value(table, path, value), name)
        for path in places(table)
        for value in HOSTILE
    }
    assert {place: text for place, text in said.items() if "\n" in text or len(text) > 400} == {}
    assert sum(text != "" for text in said.values()) > len(said) / 2
