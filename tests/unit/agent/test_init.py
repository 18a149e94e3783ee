"""``schedtel agent init``: a configuration whose arms can be switched to, and that replaces nothing."""

import os
import re
import stat
import tomllib

import pytest
from click.testing import CliRunner
from foreign import ACTING
from texts import TEXTS

from schedtel.agent.classes import CLASSES
from schedtel.agent.cold_start import PRETRAINED, card, fit_to, policy_for, pretrained
from schedtel.agent.config import asked_of
from schedtel.agent.context import context_of
from schedtel.agent.settings import chosen_policy
from schedtel.agent.survey import Survey, configuration, survey
from schedtel.cli import group
from schedtel.errors import SchedtelError, UsageError
from schedtel.schedulers.names import parse_arm
from schedtel.schedulers.switching import Schedulers


def run(*words):
    return CliRunner().invoke(group, ["agent", "init", *map(str, words)], catch_exceptions=True)


def test_it_writes_what_it_found_for_its_owner_only(tmp_path):
    done = run("-o", tmp_path / "agent.toml")
    assert done.exit_code == 0, done.exception
    path = tmp_path / "agent.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["agent.toml"]
    table = tomllib.loads(path.read_text())
    assert set(table) == {"arms", "policy", "objective", "window", "default", "log"}
    assert table["arms"][0] == table["default"] == "eevdf"
    assert table["policy"] == PRETRAINED
    assert re.search(rf"^kernel +{re.escape(os.uname().release)}$", done.output, re.MULTILINE)


def test_every_arm_that_it_names_can_be_switched_to_here():
    found, classes = survey(), dict.fromkeys(CLASSES, ())
    with Schedulers(classes=classes) as schedulers:
        for arm in found.arms:
            schedulers.check(arm)
        for arm in found.scoped:
            with pytest.raises(UsageError, match="without a selection"):
                schedulers.check(arm)
    with Schedulers(f"pid={os.getpid()}", classes=classes) as schedulers:
        for arm in found.scoped:
            schedulers.check(arm)
        for arm in found.refused:
            with pytest.raises(SchedtelError):
                schedulers.check(arm)
    assert set(card()["arms"]) <= {*found.arms, *found.scoped, *found.refused}


def test_an_agent_can_be_run_by_what_it_has_written(tmp_path):
    run("-o", tmp_path / "agent.toml")
    asked = asked_of({}, str(tmp_path / "agent.toml"))
    assert set(chosen_policy(asked.settings).arms) == set(asked.settings.arms) == set(survey().arms)
    assert asked_of({"dry-run": True}, str(tmp_path / "agent.toml")).log is None


def test_it_replaces_a_file_only_when_it_is_told_to(tmp_path):
    path = tmp_path / "agent.toml"
    path.write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("agent.toml", "link"):
        error = run("-o", tmp_path / name).exception
        assert isinstance(error, UsageError)
        assert "it is there already" in str(error)
    assert path.read_text() == "mine"
    assert run("-o", path, "--force").exit_code == 0
    assert tomllib.loads(path.read_text())["policy"] == PRETRAINED
    assert sorted(os.listdir(tmp_path)) == ["agent.toml", "link"]


@pytest.mark.parametrize("name", [".", "no/such/folder/agent.toml", "/dev/null/x"])
def test_what_cannot_be_written_is_one_line(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in ((), ("--force",)):
        error = run("-o", name, *words).exception
        assert isinstance(error, UsageError)
        assert "cannot write" in str(error)
    assert os.listdir(tmp_path) == []


def test_whatever_a_machine_is_called_the_configuration_can_be_read():
    for text in TEXTS.values():
        named = text.decode(errors="replace")
        written = configuration(Survey({"kernel": named}, ("eevdf", "scx:moon"), ("policy:batch",), {}))
        assert tomllib.loads(written)["arms"] == ["eevdf", "scx:moon"]
        assert not ACTING.search(written)


# ---- the policy that ships ----


def test_the_policy_that_ships_is_small_and_its_card_is_of_it():
    policy, said = pretrained(), card()
    assert said["policy"] == policy.name
    assert tuple(said["arms"]) == policy.arms
    assert tuple(said["features"]) == policy.names
    assert all(str(parse_arm(arm)) == arm for arm in policy.arms)


def test_arms_that_it_knows_keep_what_was_learned_and_others_begin_with_nothing(windows):
    before, policy = pretrained(), pretrained()
    kept = [arm for arm in before.arms if arm != "policy:batch"][:4]
    fit_to(policy, [*kept, "scx:moon"])
    seen = context_of(windows[0], "eevdf", policy.names)
    old, new = before.beliefs(seen), policy.beliefs(seen)
    assert set(new) == {*kept, "scx:moon"}
    # That an example ran under an arm that has gone is forgotten, which moves the others a little.
    assert {arm: new[arm].mean for arm in kept} == pytest.approx({arm: old[arm].mean for arm in kept}, abs=0.05)
    assert new["scx:moon"].mean == pytest.approx(0)
    assert new["scx:moon"].width > max(new[arm].width for arm in kept)


def test_a_policy_that_knows_none_of_the_arms_is_refused():
    with pytest.raises(UsageError, match="it knows none of these arms"):
        policy_for(PRETRAINED, ["scx:moon"])
    with pytest.raises(UsageError, match="it knows no arms by itself"):
        policy_for("thompson")
