"""Explaining decisions of a log: the policy is made anew, and the chance that it gives tells whether it is the same."""

import json
from dataclasses import replace

import numpy as np
import pytest
from agents import ARMS, TELLING, lived, made, vector
from click.testing import CliRunner
from foreign import ACTING
from texts import TEXTS

from schedtel.agent.cold_start import pretrained
from schedtel.agent.context import CHOSEN, Context
from schedtel.agent.decisions import decided, number_of, text_of
from schedtel.agent.log import DecisionLog, Entry
from schedtel.agent.policies.files import save_policy
from schedtel.cli import group
from schedtel.errors import SchedtelError, UsageError


def of_policy(entries, name):
    return [replace(entry, policy=name, policy_rewards=number) for number, entry in enumerate(entries)]


@pytest.fixture(scope="module")
def entries():
    return of_policy(lived(made("thompson"), 260, seed=4), "thompson")


@pytest.mark.parametrize("number", [1, 2, 57, 260])
def test_a_policy_that_learns_again_gives_the_chance_that_was_logged(entries, number):
    found = decided(entries, number)
    assert found.chance == pytest.approx(entries[number - 1].propensity, abs=1e-9)
    assert found.is_same
    assert found.learned == number - 1


def test_a_policy_that_began_with_other_knowledge_is_told_from_it(entries, tmp_path):
    other = made("thompson", seed=9)
    lived(other, 300, seed=5)
    save_policy(other, tmp_path / "other")
    found = decided(entries, 3, str(tmp_path / "other"))
    assert not found.is_same
    assert "so it is not the policy that decided" in "\n".join(text_of(found))


def test_what_a_policy_began_with_is_what_it_is_made_anew_of(tmp_path):
    began = made("thompson", seed=9)
    lived(began, 150, seed=5)
    save_policy(began, tmp_path / "began")
    entries = of_policy(lived(began, 40, seed=6), "thompson")
    assert decided(entries, 40, str(tmp_path / "began")).is_same
    assert not decided(entries, 40).is_same


def test_that_a_policy_began_with_the_one_that_ships_is_found_by_trying():
    policy, random, entries = pretrained(), np.random.default_rng(8), []
    for number in range(12):
        seen, earned = Context(vector(number % 2, random, policy.names), "eevdf"), float(random.normal())
        decision = policy.decide(seen)
        policy.learn(seen, decision.arm, decision.propensity, earned)
        entries.append(Entry(number, 0, number, seen, policy.arms, decision.arm, decision.propensities, earned))
    for number in (1, 12):
        found = decided(of_policy(entries, "thompson"), number)
        assert (found.began, found.is_same, found.learned) == ("pretrained", True, number - 1)
    assert "thompson that knew pretrained, and" in "\n".join(text_of(found))


def test_the_features_that_tell_the_load_moved_the_choice(entries):
    place = next(n for n, entry in enumerate(entries[200:], 200) if entry.arm == ARMS[1] and entry.propensity > 0.9)
    found = decided(entries, place + 1)
    assert sum(cause.difference for cause in found.why.causes if cause.name in TELLING) > 0.1
    assert sum(cause.difference for cause in found.why.causes) == pytest.approx(
        found.beliefs[found.why.chosen].mean - found.beliefs[found.why.other].mean
    )


def test_a_guards_decision_is_told_in_its_words(entries):
    guarded = [*entries[:10], replace(entries[10], propensities={}, reason="p99 above the limit of 5 ms", reward=None)]
    found = decided(guarded, 11)
    assert found.why is None
    assert text_of(found)[2:] == ["  a guard decided: p99 above the limit of 5 ms", "  its reward is not known"]


@pytest.mark.parametrize(("text", "number"), [("last", 7), ("1", 1), ("7", 7)])
def test_a_decision_is_named_by_its_number(text, number):
    assert number_of(text, 7) == number


@pytest.mark.parametrize("text", ["0", "8", "-1", "first", "1.0", "٣", "9" * 40])
def test_no_other_text_names_one(text):
    with pytest.raises(UsageError, match="cannot explain decision"):
        number_of(text, 7)


# ---- the command ----


def run(*words):
    return CliRunner().invoke(group, ["agent", "explain", *map(str, words)], catch_exceptions=True)


def written(where, entries):
    log = DecisionLog(where, CHOSEN)
    log._rows += entries[:-1]  # one write for all
    log.append(entries[-1])
    return where


def test_the_command_says_it_as_lines_and_as_json(entries, tmp_path):
    log = written(tmp_path / "log", entries)
    table = json.loads(run(log, "--decision", "57", "--format", "json").output)
    assert (table["decision"], table["decisions"], table["arm"]) == (57, 260, entries[56].arm)
    assert table["propensity_again"] == pytest.approx(entries[56].propensity)
    assert table["is_the_same_policy"]
    lines = run(log).output.splitlines()
    assert lines[0].startswith("decision 260 of 260, window 259, 2001-09-09 ")
    assert lines[0].endswith(f": {entries[-1].arm}")


def test_what_cannot_be_explained_is_one_line(entries, tmp_path):
    log = written(tmp_path / "log", entries[:30])
    strange = written(tmp_path / "strange", of_policy(entries[:30], "a\x1b[31mmoon"))
    for words, why in (
        ((tmp_path,), "no log of decisions"),
        ((log, "--decision", "31"), "the log has 30"),
        ((log, "--policy", "moon"), "cannot read policy moon"),
        ((strange,), "there is none of this name"),
    ):
        error = run(*words).exception
        assert isinstance(error, SchedtelError), words
        assert why in str(error)


def test_texts_of_a_log_do_not_act_on_a_terminal(entries, tmp_path):
    texts = [name.decode(errors="replace") for name in TEXTS.values()]
    for first in range(0, len(texts), 15):
        arms = tuple(f"{number}{text}" for number, text in enumerate(texts[first : first + 15]))
        chances = dict.fromkeys(arms, 1 / len(arms))
        named = [
            replace(e, arms=arms, arm=arms[n % len(arms)], propensities=chances) for n, e in enumerate(entries[:40])
        ]
        named[-1] = replace(named[-1], reason=texts[first])
        done = run(written(tmp_path / str(first), named))
        assert done.exit_code == 0
        assert not ACTING.search(done.output)


def test_an_outlandish_moment_is_still_one(entries, tmp_path):
    late = replace(entries[0], wall_time_ns=253_402_300_799_999_999 * 1000)
    assert "9999-12-31" in run(written(tmp_path / "late", [late])).output
    assert np.isfinite(late.reward)
