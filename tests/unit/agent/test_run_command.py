"""``schedtel agent run``: what it is asked, by options and by a file, and everything that it refuses."""

import os

import pytest
from agents import made
from click.testing import CliRunner

from schedtel.agent import alone, here
from schedtel.agent.alone import only_agent
from schedtel.agent.config import KEYS, asked_of
from schedtel.agent.policies.files import save_policy
from schedtel.agent.settings import arms_of, chosen_policy
from schedtel.cli import group
from schedtel.cli.commands.agent_run import run as command
from schedtel.errors import CapabilityError, SchedtelError, UsageError

ARMS = "eevdf,policy:slice=0.1ms"
CLIENT = ("token-file", "ca", "tls-cert", "tls-key")


def refused(*words):
    """The one line with which a call is refused."""
    done = CliRunner().invoke(group, ["agent", "run", *map(str, words)], catch_exceptions=True)
    assert isinstance(done.exception, SchedtelError), done.output
    assert "\n" not in str(done.exception)
    assert done.output == ""
    return str(done.exception)


BAD = [
    ((), "cannot run without arms"),
    (("--arms", "eevdf"), "cannot choose among 1 arms"),
    (("--arms", "eevdf,nonsense"), "cannot read 'nonsense' as an arm"),
    (("--arms", "eevdf,policy:rr"), "rr needs a value"),
    (("--arms", "eevdf,eevdf,policy:batch"), "eevdf is named twice"),
    (("--arms", "policy:comm=x:batch,policy:comm=x:batch"), "different ones"),
    (("--arms", "eevdf,policy:rr=10"), "only those of class short have capped bursts"),
    (("--arms", "eevdf,policy:hogs:rr=10"), "only those of class short have capped bursts"),
    (("--arms", "eevdf,policy:shrt:idle"), "did you mean 'short'"),
    (("--arms", "eevdf,policy:batch"), "cannot use a rule without a selection"),
    (("--arms", "eevdf,policy:comm=x:batch", "--default", "policy:comm=x:idle"), "none of the arms"),
    (("--arms", ARMS, "--for", "hogs"), "a class chooses from a selection"),
    (("--arms", ARMS, "--for", "pid=4999999"), "no such process"),
    (("--arms", ARMS, "--weights", "L=0,fairness=0"), "cannot weigh objectives so"),
    (("--arms", ARMS, "--weights", "L=nan"), "cannot weigh 'L=nan'"),
    (("--arms", ARMS, "--weights", "L=1,L=2"), "each objective once"),
    (("--arms", ARMS, "--weights", "speed=1"), "it is no objective"),
    (("--arms", ARMS, "--objective", "fairnes"), "did you mean 'fairness'"),
    (("--arms", ARMS, "--objective", "L", "--weights", "L=1"), "drop one of the two"),
    (("--arms", ARMS, "--policy", "thomson"), "did you mean 'thompson'"),
    (("--arms", ARMS, "--policy", "/no/such/file"), "cannot read policy /no/such/file"),
    (("--arms", ARMS, "--slo", "rt_p9_ns < 20ms"), "did you mean 'rt_p99_ns'"),
    (("--arms", ARMS, "--window", "1ms"), "cannot use a window of 1ms"),
    (("--arms", ARMS, "--duration", "soon"), "cannot read duration 'soon'"),
    (("--arms", ARMS, "--dwell", "1"), "none would count"),
    (("--arms", ARMS, "--floor", "0.2"), "cannot keep to a budget of 0.05"),
    (("--arms", ARMS, "--budget", "2"), "cannot use a budget of 2"),
    (("--arms", ARMS, "--probe-every", "0"), "cannot compare with EEVDF every 0"),
    (("--arms", ARMS, "--dry-run", "--shadow"), "drop one of the two"),
    (("--arms", ARMS, "--dry-run", "--log", "new"), "it logs nothing"),
    (("--arms", ARMS, "--dry-run", "--save", "new"), "nothing is learned"),
    (("--arms", ARMS, "--config", "/no/such/file"), "cannot read configuration"),
    (("--arms", ARMS, "--token-file", "x"), "cannot use --token-file with an agent without --target"),
    (("--arms", ARMS, "--target", "http://x"), "no such scheme or port"),
    (("--arms", ARMS, "--target", "grpc://127.0.0.1:1", "--token-file", "/no/such"), "cannot read token"),
]


@pytest.mark.parametrize(("words", "why"), BAD, ids=[why for _, why in BAD])
def test_what_cannot_be_done_is_refused_in_one_line(words, why):
    assert why in refused(*words)


def test_a_policy_with_other_arms_or_of_another_version_is_refused(tmp_path):
    policy = made("linucb", arms=("scx:a", "scx:b"))
    save_policy(policy, tmp_path / "policy")
    assert "it knows none of these arms" in refused("--arms", ARMS, "--policy", tmp_path / "policy")
    content = (tmp_path / "policy").read_bytes()
    (tmp_path / "old").write_bytes(content.replace(b'\\"format\\": 1', b'\\"format\\": 9'))
    assert "it has format 9, this schedtel 1" in refused("--arms", ARMS, "--policy", tmp_path / "old")


def test_a_policy_of_a_file_explores_as_the_options_say(tmp_path):
    arms = ("eevdf", "policy:batch")
    save_policy(made("linucb", arms=arms, floor=0.01), tmp_path / "policy")
    given = {"arms": ",".join(arms), "policy": str(tmp_path / "policy"), "floor": 0.1, "budget": 0.2}
    policy = chosen_policy(asked_of(given).settings)
    assert (policy.settings.floor, policy.settings.budget) == (0.1, 0.2)


def test_a_kernel_without_sched_ext_is_told(monkeypatch):
    monkeypatch.setattr("schedtel.schedulers.sched_ext.read_state", lambda *_: None)
    assert "built without CONFIG_SCHED_CLASS_EXT" in refused(
        "--arms", "eevdf,scx:simple", "--for", f"pid={os.getpid()}"
    )


def test_without_the_privilege_an_arm_is_refused_before_anything_begins(monkeypatch):
    def refuse(setting):
        raise CapabilityError(f"cannot use {setting}: Operation not permitted (run as root)")

    monkeypatch.setattr("schedtel.schedulers.trial.require", refuse)
    monkeypatch.setattr(here, "traced", pytest.fail)
    assert "Operation not permitted" in refused("--arms", "eevdf,policy:batch", "--for", f"pid={os.getpid()}")


def test_a_damaged_quarantine_is_refused(tmp_path):
    (tmp_path / "quarantine.json").write_text("{")
    os.chmod(tmp_path / "quarantine.json", 0o600)
    words = ("--arms", ARMS, "--for", f"pid={os.getpid()}", "--log", tmp_path)
    assert "it is no list of arms in quarantine" in refused(*words)


def test_one_agent_acts_at_a_time(tmp_path):
    with only_agent(tmp_path / "run"):
        with pytest.raises(UsageError, match="another agent runs on this machine"), only_agent(tmp_path / "run"):
            pytest.fail("two act")
        assert os.stat(tmp_path / "run").st_mode & 0o077 == 0
    assert not (tmp_path / "run").exists()
    with only_agent(tmp_path / "run"):
        pass


def test_a_lock_that_an_agent_has_removed_meanwhile_is_made_anew(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir(mode=0o700)
    real, steps = alone.fcntl.flock, []

    def flock(descriptor, operation):
        if not steps:
            (tmp_path / "run" / "agent.lock").unlink()
        steps.append(operation)
        real(descriptor, operation)

    monkeypatch.setattr(alone.fcntl, "flock", flock)
    with only_agent(tmp_path / "run"):
        assert (tmp_path / "run" / "agent.lock").exists()
    assert len(steps) == 2


def test_a_second_agent_is_refused_before_it_changes_anything(tmp_path, monkeypatch):
    monkeypatch.setattr(alone, "default_directory", lambda: tmp_path / "run")
    monkeypatch.setattr(here, "traced", pytest.fail)
    with only_agent():
        words = ("--arms", ARMS, "--for", f"pid={os.getpid()}", "--log", tmp_path / "log")
        assert "another agent runs" in refused(*words)
    assert not (tmp_path / "log").exists()


def test_arms_are_read_from_a_list_in_which_cpu_lists_have_commas_too():
    text = "policy:cpus=0,2-3, policy:hogs:idle+short:rr=10,scx:simple"
    assert arms_of(text) == ("eevdf", "policy:cpus=0,2-3", "policy:hogs:idle+short:rr=10", "scx:simple")
    assert arms_of("policy:batch,eevdf") == ("eevdf", "policy:batch")


FILE = """
arms = ["policy:short:rr=10", "policy:hogs:idle"]
default = "policy:hogs:idle"
policy = "linucb"
window = "2s"
for = "cgroup=/x"
log = "/tmp/log"
slo = "rt_p99_ns < 20ms"
shadow = true
dwell = 3
settle = 0
swap-cost = 0.1
floor = 0
budget = 0.1
seed = 7
probe-every = 5
duration = "1h"
target = "grpc://127.0.0.1:8816"
no-trial = true

[weights]
L = 1
fairness = 0.5
"""


def test_a_file_says_what_the_options_say(tmp_path):
    path = tmp_path / "agent.toml"
    path.write_text(FILE)
    asked = asked_of({}, str(path))
    settings = asked.settings
    assert settings.arms == ("eevdf", "policy:short:rr=10", "policy:hogs:idle")
    assert (settings.default, settings.policy, settings.window) == ("policy:hogs:idle", "linucb", "2s")
    assert (str(settings.scope), settings.mode, settings.is_trusted) == ("cgroup=/x", "shadow", True)
    assert (settings.reward.dwell, settings.reward.settle, settings.reward.swap_cost) == (3, 0, 0.1)
    assert dict(settings.reward.weights) == {"L": 1.0, "fairness": 0.5}
    assert (settings.exploring.floor, settings.exploring.budget, settings.exploring.seed) == (0, 0.1, 7)
    assert (settings.probe_every, asked.log, asked.duration) == (5, "/tmp/log", "1h")
    assert asked.target == "grpc://127.0.0.1:8816"
    assert str(settings.slos[0]) == "rt_p99_ns < 20.0 ms"
    assert settings.real_time_priority == 10


def test_an_option_goes_before_the_file(tmp_path):
    path = tmp_path / "agent.toml"
    path.write_text(FILE)
    asked = asked_of({"seed": 0, "window": "500ms", "dwell": None, "slo": ()}, str(path))
    assert (asked.settings.exploring.seed, asked.settings.window, asked.settings.reward.dwell) == (0, "500ms", 3)
    assert len(asked.settings.slos) == 1


def test_the_keys_of_a_file_are_the_options_of_the_command():
    options = {option.removeprefix("--") for parameter in command.params for option in parameter.opts}
    assert {option for option in options if not option.startswith("-")} == {*KEYS, "config", "lines", *CLIENT}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('arm = "eevdf"', "did you mean 'arms'"),
        ("arms = 5", "must be a text, or a list of texts"),
        ("arms = [[]]", "must be a text, or a list of texts"),
        ('seed = "x"', "must be an integer"),
        ('dry-run = "yes"', "must be true or false"),
        ("weights = 5", "no table"),
        ("weights = { L = -1 }", "must be a number"),
        ("weights = { L = nan }", "must be a number"),
        ("not toml", "write TOML"),
        ("seed = 1\nseed = 1", "write TOML"),
        ("a = " + "[" * 5000, "write TOML"),
    ],
)
def test_a_file_that_says_something_else_is_refused_in_one_line(tmp_path, text, why):
    (tmp_path / "agent.toml").write_text(text)
    assert why in refused("--arms", ARMS, "--config", tmp_path / "agent.toml")
