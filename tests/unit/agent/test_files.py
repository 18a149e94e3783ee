"""Files of policies: the same policy comes back, safetensors itself reads them, and what is none is refused."""

import json
import os
import stat

import numpy as np
import pytest
import safetensors.numpy
from agents import ARMS, context, lived, made

import schedtel
from schedtel.agent.policies.files import load_policy, save_policy
from schedtel.agent.policies.registry import POLICIES, policy_of
from schedtel.agent.policies.tally import Memory

KEY = "schedtel.policy"


@pytest.fixture
def saved(tmp_path):
    """A file of a policy that has learned, and the policy."""
    policy = made("thompson", seed=3)
    lived(policy, 60, seed=2)
    save_policy(policy, tmp_path / "policy")
    return tmp_path / "policy", policy


def changed(path, said=None, arrays=None):
    """The file with other entries and arrays; None takes one away."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    description = json.loads(header["__metadata__"][KEY]) | (said or {})
    kept = safetensors.numpy.load(content) | (arrays or {})
    kept = {name: values for name, values in kept.items() if values is not None}
    path.write_bytes(safetensors.numpy.save(kept, metadata={KEY: json.dumps(description)}))


@pytest.mark.parametrize(
    "memory", [Memory(), Memory(window=30), Memory(discount=0.9)], ids=["all", "window", "discount"]
)
@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_that_comes_back_goes_on_as_the_other_does(tmp_path, name, memory):
    policy = made(name, seed=3, memory=memory)
    lived(policy, 60, seed=2)
    policy.remove_arm(ARMS[1])  # the arms' rows are not their order any more
    policy.add_arm("scx:new")
    save_policy(policy, tmp_path / "policy")
    other = load_policy(tmp_path / "policy", policy.arms, policy.names)
    random = np.random.default_rng(4)
    for _ in range(40):
        seen = context(int(random.integers(2)), random, "scx:new")
        decision = policy.decide(seen)
        assert other.decide(seen) == decision
        for one in (policy, other):
            one.learn(seen, decision.arm, decision.propensity, float(len(decision.arm) % 3))


def test_a_file_is_whole_small_and_only_for_its_owner(saved):
    path, policy = saved
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [path.name]
    assert path.stat().st_size < 1 << 20
    arrays = safetensors.numpy.load_file(path)
    assert arrays["tally.count"].sum() == 60
    save_policy(made("fixed"), path)  # in place of the other
    assert load_policy(path).name == "fixed"
    with pytest.raises(schedtel.RecordingError, match="cannot write"):
        save_policy(policy, path / "below")


def test_other_arms_features_and_versions_are_refused_in_a_line(saved):
    path, policy = saved
    for arms, names in ((ARMS[:2], None), (("eevdf", "x", "y"), None), (None, policy.names[::-1])):
        with pytest.raises(schedtel.UsageError, match=r"cannot use policy .* (arms are others|other features)"):
            load_policy(path, arms, names)
    for said in ({"format": 2}, {"features_version": 99}, {"features": ["no_such"]}, {"policy": "moon"}):
        save_policy(policy, path)
        changed(path, said)
        with pytest.raises(schedtel.UsageError, match="cannot use policy") as told:
            load_policy(path)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("said", "arrays"),
    [
        ({"format": "x"}, None),
        ({"format": None}, None),
        ({"arms": ["eevdf"]}, None),
        ({"arms": {}}, None),
        ({"arms": {"a": 0, "b": 0}}, None),
        ({"arms": {"a": 99}}, None),
        ({"arms": {"a": -1}}, None),
        ({"arms": {"a" * 5000: 1}}, None),
        ({"settings": {}}, None),
        ({"settings": {"floor": 7, "memory": {}}}, None),
        ({"settings": {"memory": {"window": 1 << 60}}}, None),
        ({"settings": {"memory": {}, "seed": "x"}}, None),
        ({"options": {"arm": 1}}, None),
        ({"options": 5}, None),
        ({"features": 5}, None),
        ({"random": {}}, None),
        ({"random": {"bit_generator": "PCG64", "state": {"state": 1 << 300, "inc": -1}}}, None),
        (None, {"gram": None}),
        (None, {"gram": np.zeros((2, 2))}),
        (None, {"gram": np.full((16, 53, 53), np.nan)}),
        (None, {"gram": np.full((16, 53, 53), 1e300)}),
        (None, {"counters": np.full(4, -5.0)}),
        (None, {"variance": np.full(18, -1.0)}),
        (None, {"centre": np.zeros(18, np.float32)}),
        (None, {"tally.count": np.full(16, -1.0)}),
    ],
)
def test_what_somebody_else_may_have_written_is_refused(saved, said, arrays):
    path, _ = saved
    changed(path, said, arrays)
    with pytest.raises(schedtel.UsageError, match=r"^cannot "):
        load_policy(path)


def test_random_changes_of_a_file_give_a_policy_or_one_error(saved):
    path, _ = saved
    content, random = path.read_bytes(), np.random.default_rng(5)
    seen = context(0, random)
    for _ in range(150):
        damaged = bytearray(content)
        for place in random.integers(0, 6000 if random.random() < 0.7 else len(content), int(random.integers(1, 6))):
            damaged[place] = int(random.integers(256))
        path.write_bytes(damaged[: int(random.integers(len(content))) if random.random() < 0.2 else None])
        try:
            policy = load_policy(path)
        except schedtel.UsageError:
            continue
        if policy.names == seen.features.names:
            assert sum(policy.decide(seen).propensities.values()) == pytest.approx(1)


def test_what_is_no_file_of_a_policy_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "long").write_bytes((1 << 63).to_bytes(8, "little") + b"{}")
    (tmp_path / "other").write_bytes(safetensors.numpy.save({"x": np.zeros(1)}))
    for name in ("pipe", "text", "empty", "long", "other", "none", ".", "/dev/zero"):
        with pytest.raises(schedtel.UsageError, match="cannot read policy"):
            load_policy(tmp_path / name)


def test_policies_decide_without_safetensors(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    policy = policy_of("thompson", ARMS)
    assert policy.decide(context(0, np.random.default_rng(1))).arm in ARMS
    with pytest.raises(schedtel.CapabilityError, match=r"schedtel\[agent\]"):
        save_policy(policy, tmp_path / "x")
