"""Names of arms: what is read, what is written back, and what is refused with which advice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedtel.errors import UsageError
from schedtel.schedulers.names import EEVDF, Arm, Rule, Selector, parse_arm, parse_selector
from schedtel.schedulers.settings import EXAMPLES, parse_setting

#: Name → the selection and the setting of each rule: kind, name, word, values.
READ = {
    "policy:slice=0.1ms": [(None, "slice", (100_000,))],
    "policy:slice=3ms": [(None, "slice", (3_000_000,))],
    "policy:hogs:idle": [(("class", "hogs"), "idle", ())],
    "policy:short:rr=10": [(("class", "short"), "rr", (10,))],
    "policy:comm=make:batch": [(("comm", "make"), "batch", ())],
    "policy:comm=kworker/0:1:nice=-5": [(("comm", "kworker/0:1"), "nice", (-5,))],
    "policy:cgroup=/x:weight=10": [(("cgroup", "/x"), "weight", (10,))],
    "policy:cgroup=/a:b:max=50%": [(("cgroup", "/a:b"), "max", (50_000, 100_000))],
    "policy:unit=nginx:max=20ms/200ms": [(("unit", "nginx"), "max", (20_000, 200_000))],
    "policy:unit=a.slice:group-idle": [(("unit", "a.slice"), "group-idle", ())],
    "policy:pid=7:autogroup=19": [(("pid", "7"), "autogroup", (19,))],
    "policy:cpus=0,2-4": [(None, "cpus", (0, 2, 3, 4))],
    "policy:hogs:cpus=0+short:cpus=1": [(("class", "hogs"), "cpus", (0,)), (("class", "short"), "cpus", (1,))],
}


@pytest.mark.parametrize("text", READ)
def test_a_policy_arm_has_the_rules_of_its_name(text):
    arm = parse_arm(text)
    found = [
        (rule.selector and (rule.selector.kind, rule.selector.name), rule.setting.word, rule.setting.values)
        for rule in arm.rules
    ]
    assert (arm.family, found) == ("policy", READ[text])
    assert str(arm) == text


def test_the_other_families():
    assert parse_arm("eevdf") == EEVDF
    assert parse_arm("scx:bpfland") == Arm("scx", scheduler="bpfland")
    assert str(parse_arm("scx:bpfland")) == "scx:bpfland"
    assert parse_arm("scx:vtime@/a@b:c") == Arm("scx", scheduler="vtime", cgroup="/a@b:c")
    assert str(parse_arm("scx:vtime@/a@b:c")) == "scx:vtime@/a@b:c"
    assert parse_arm("loader:bpfland") == parse_arm("loader:bpfland:auto") == Arm("loader", scheduler="bpfland")
    assert str(parse_arm("loader:bpfland:auto")) == "loader:bpfland"
    assert str(parse_arm("loader:bpfland:gaming")) == "loader:bpfland:gaming"


@pytest.mark.parametrize("word", EXAMPLES)
def test_every_example_of_a_setting_is_one(word):
    for example in EXAMPLES[word].split(" or "):
        assert parse_setting(example).word == word


#: Name → what the error says.
REFUSED = {
    "": "known are eevdf, policy, scx, loader",
    "eefdv": "did you mean 'eevdf'?",
    "polcy:idle": "did you mean 'policy'?",
    "eevdf:x": "eevdf has no settings",
    "policy": "it names nothing",
    "policy:": "it names nothing",
    "scx:": "it names nothing",
    "scx:../bin/sh": "a plain name",
    "scx:-f": "a plain name",
    "scx:vtime@": "it names no cgroup (write scx:vtime@/x",
    "scx:@/x": "a plain name",
    "loader:": "it names nothing (write loader:bpfland)",
    "loader:../x": "a plain name",
    "loader:bpfland:gamin": "did you mean 'gaming'?",
    "loader:bpfland:": "known are auto, gaming, powersave, lowlatency, server",
    "loader:bpfland:1": "is no mode",
    "policy:idel": "did you mean 'idle'?",
    "policy:hogs": "policy:hogs",
    "policy:hogs:idel": "did you mean 'idle'?",
    "policy:Hogs:idle": "as a selection",
    "policy:colour=red:idle": "known are comm, cgroup, unit, pid",
    "policy:cmm=make:idle": "did you mean 'comm'?",
    "policy:comm=make": "it sets nothing",
    "policy:comm=:idle": "it names nothing",
    "policy:comm=a-name-of-sixteen:idle": "the kernel keeps 15 bytes",
    "policy:pid=0:idle": "a positive integer",
    "policy:pid=-1:idle": "a positive integer",
    "policy:unit=a/b:idle": "no slash",
    "policy:idle=1": "idle has no value",
    "policy:slice": "slice needs a value",
    "policy:slice=": "slice needs a value",
    "policy:slice=0.05ms": "from 0.1ms to 100ms",
    "policy:slice=101ms": "from 0.1ms to 100ms",
    "policy:slice=soon": "expected a number and a unit",
    "policy:rr=0": "from 1 to 90",
    "policy:rr=91": "from 1 to 90",
    "policy:rr=1.5": "from 1 to 90",
    "policy:nice=20": "from -20 to 19",
    "policy:nice=-21": "from -20 to 19",
    "policy:weight=0": "from 1 to 10000",
    "policy:weight=\u0661\u0660": "from 1 to 10000",
    "policy:max=0%": "from 1 to",
    "policy:max=50": "a share or a quota",
    "policy:max=50ms/2s": "periods from 1ms to 1s",
    "policy:max=10us/100ms": "quotas from 1ms",
    "policy:cpus=": "cpus needs a value",
    "policy:cpus=1-0": "from 1 to",
    "policy:cpus=a": "from 0 to",
    "policy:cpus=9999": "from 0 to",
    "policy:idle+": "as a rule",
    "policy:+idle": "as a rule",
    "policy:a\0b:idle": "zero byte",
    "policy:" + "x" * 5000: "too long",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30].replace("\0", "0"))
def test_a_wrong_name_is_refused_with_advice(text):
    with pytest.raises(UsageError) as raised:
        parse_arm(text)
    message = str(raised.value)
    assert REFUSED[text].removeprefix("policy:") in message
    assert message.startswith("cannot ")
    assert len(message) < 400


@given(
    st.text(max_size=40),
    st.sampled_from(["", "policy:", "scx:", "loader:", "loader:x:", "policy:comm=", "policy:cpus=", "policy:max="]),
)
def test_any_text_is_an_arm_that_is_read_again_the_same_or_refused(text, beginning):
    try:
        arm = parse_arm(beginning + text)
    except UsageError:
        return
    assert parse_arm(str(arm)) == arm


def test_rules_made_by_hand_have_the_names_that_are_read():
    rules = (Rule(Selector("class", "hogs"), parse_setting("idle")), Rule(None, parse_setting("nice=3")))
    assert parse_arm(str(Arm("policy", rules))) == Arm("policy", rules)
    assert str(parse_selector("cgroup=/a b")) == "cgroup=/a b"
