"""``schedtel agent evaluate``: what it prints, as lines and as JSON, and what it refuses."""

import json
from dataclasses import replace

import pytest
from agents import ARMS, ENVIRONMENT, lived, made
from click.testing import CliRunner
from foreign import ACTING
from texts import TEXTS

from schedtel.agent.context import CHOSEN
from schedtel.agent.log import DecisionLog
from schedtel.agent.policies.files import save_policy
from schedtel.cli import group
from schedtel.errors import SchedtelError


def run(*words):
    return CliRunner().invoke(group, ["agent", "evaluate", *map(str, words)], catch_exceptions=True)


def written(where, entries):
    log = DecisionLog(where, CHOSEN)
    for entry in entries[:-1]:
        log._rows.append(entry)  # one write for all
    log.append(entries[-1])
    return where


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    entries = lived(made("random", seed=1), 400, seed=7, learn=False)
    return written(tmp_path_factory.mktemp("agent") / "log", entries)


def test_it_says_in_json_what_every_policy_would_have_earned(log):
    done = run(log, "--policy", "thompson", "--learn", "--format", "json")
    table = json.loads(done.output)
    assert (table["decisions"], table["guarded"], table["unrewarded"]) == (400, 0, 0)
    names = [row["policy"] for row in table["policies"]]
    assert names[:3] == ["thompson", "as logged", f"best static arm: {ARMS[0]}"]
    assert names[3:6] == [f"always {arm}" for arm in ARMS]
    for number, row in enumerate(table["policies"][3:6]):
        assert row["dr"]["low"] <= ENVIRONMENT[:, number].mean() <= row["dr"]["high"]


def test_it_says_so_in_lines(log):
    lines = run(log, "--policy", "random").output.splitlines()
    assert len(lines) == 1 + 8 + 1
    assert lines[1].startswith("random  ")
    assert lines[-1] == "400 decisions count"


def test_a_file_of_a_policy_is_judged_as_it_is(log, tmp_path):
    policy = made("linucb", seed=2)
    lived(policy, 300, seed=3)
    save_policy(policy, tmp_path / "policy")
    rows = {}
    for which in (tmp_path / "policy", "linucb"):
        table = json.loads(run(log, "--policy", which, "--format", "json").output)
        rows[which] = table["policies"][0]["dr"]["value"]
    assert rows[tmp_path / "policy"] > rows["linucb"] + 0.2


def test_what_cannot_be_judged_is_one_line(log, tmp_path):
    save_policy(made(arms=ARMS[:2]), tmp_path / "other")
    for words, why in (
        ((log, "--policy", tmp_path / "other"), "its arms are others"),
        ((log, "--policy", "moon"), "cannot read policy moon"),
        ((log, "--policy", "random", "--busy-arm", "moon"), "cannot use arm"),
        ((tmp_path, "--policy", "random"), "no log of decisions"),
    ):
        error = run(*words).exception
        assert isinstance(error, SchedtelError)
        assert why in str(error)


def test_names_of_arms_do_not_act_on_a_terminal(tmp_path):
    texts = [name.decode(errors="replace") for name in TEXTS.values()]
    entries = lived(made("random", seed=1), 40, seed=7, learn=False)
    for first in range(0, len(texts), 15):
        arms = tuple(f"{number}{text}" for number, text in enumerate(texts[first : first + 15]))
        named = [
            replace(e, arms=arms, arm=arms[n % len(arms)], propensities=dict.fromkeys(arms, 1 / len(arms)))
            for n, e in enumerate(entries)
        ]
        done = run(written(tmp_path / str(first), named), "--policy", "random")
        assert done.exit_code == 0
        assert not ACTING.search(done.output)
        assert len(done.output.splitlines()) == 1 + 5 + len(arms) + 2
