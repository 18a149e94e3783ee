"""A kernel's model of preemption, from made-up files of each kind that tells it."""

import gzip
import platform

import pytest

from schedtel.host.preemption import MODELS, preemption_model

BUILT = {"none": "PREEMPT_NONE", "voluntary": "PREEMPT_VOLUNTARY", "full": "PREEMPT", "lazy": "PREEMPT_LAZY"}


@pytest.fixture
def root(tmp_path):
    for name in ("sys/kernel/debug/sched", "proc", "boot"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "proc/cmdline").write_text("console=ttyS0 quiet\n")
    return tmp_path


def config(model):
    others = "".join(f"# CONFIG_{name} is not set\n" for other, name in BUILT.items() if other != model)
    return f"CONFIG_PREEMPT_BUILD=y\n{others}CONFIG_{BUILT[model]}=y\nCONFIG_PREEMPT_DYNAMIC=y\n"


@pytest.mark.parametrize("model", MODELS)
def test_a_kernels_configuration_tells_it(root, model):
    (root / "boot" / f"config-{platform.release()}").write_text(config(model))
    assert preemption_model(root) == model
    (root / "proc/config.gz").write_bytes(gzip.compress(config("full").encode()))
    assert preemption_model(root) == "full"


def test_what_the_kernel_was_started_with_counts_more_and_what_it_has_now_most(root):
    (root / "proc/config.gz").write_bytes(gzip.compress(config("none").encode()))
    (root / "proc/cmdline").write_text("quiet preempt=full\n")
    assert preemption_model(root) == "full"
    (root / "sys/kernel/debug/sched/preempt").write_text("none voluntary full (lazy) \n")
    assert preemption_model(root) == "lazy"


@pytest.mark.parametrize("told", [b"", b"\x1f\x8b", b"CONFIG_HZ=250\n", b"\xff" * 9])
def test_a_kernel_that_does_not_tell_it(root, told):
    (root / "proc/config.gz").write_bytes(told)
    (root / "proc/cmdline").write_text("nopreempt=full preempt=sometimes\n")
    assert preemption_model(root) is None
