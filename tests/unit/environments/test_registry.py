"""The environments by name: Gymnasium's own checker, and what both forms promise."""

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="gymnasium is not installed (pip install 'schedtel[learn]')")
from gymnasium.utils.env_checker import check_env

from schedtel.environments.registry import ENVIRONMENTS, entry_of
from schedtel.environments.single import Single
from schedtel.errors import UsageError


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_checker_of_gymnasium_passes(name):
    check_env(Single(name), skip_render_check=True)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_one_of_many_is_stepped_as_its_protocol_says(name):
    environment, draw = entry_of(name).make(3), np.random.default_rng(1)
    observations, masks = environment.reset(1)
    for _ in range(20):
        assert observations.shape == (3, environment.observation_size)
        assert observations.dtype == np.float32
        assert np.isfinite(observations).all()
        assert masks.shape == (3, environment.action_count)
        assert masks.any(axis=1).all()
        actions = np.where(masks, draw.random(masks.shape), -1).argmax(axis=1).astype(np.int32)
        observations, rewards, ended, masks = environment.step(actions)
        assert (rewards.shape, rewards.dtype, ended.shape, ended.dtype) == ((3,), np.float32, (3,), np.bool_)


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match=r"cannot use environment 'MigrateSin': it is unknown \(did you mean"):
        entry_of("MigrateSin")
