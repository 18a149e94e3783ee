"""The networks: numpy is torch, a file gives the same network back, and what can be learned is learned."""

import json

import numpy as np
import pytest
from refusals import refused
from safetensors.numpy import load, save
from small_runs import drawn_run

from schedtel.errors import UsageError
from schedtel.oracle import networks, pointer
from schedtel.oracle.models import Model, load_model, save_model
from schedtel.oracle.networks import Tuning, best, pointer_scores, trained_pointer, trained_recurrent, tried_tunings
from schedtel.oracle.rules import rule
from schedtel.oracle.samples import samples_of
from schedtel.oracle.scores import score


def weights(seed):
    random = np.random.default_rng(seed)
    return pointer.Weights(
        **{name: (random.normal(size=shape) / 4).astype(np.float32) for name, shape in pointer.SHAPES.items()}
    )


@pytest.fixture(scope="module")
def samples():
    return samples_of(drawn_run(5), warm=50)


def test_one_forecast_is_that_of_many_and_the_order_of_candidates_does_not_matter(samples):
    network, random = weights(1), np.random.default_rng(1)
    together = np.exp(pointer.forecasts(network, samples))
    for row in range(0, len(samples), 40):
        count = samples.counts[row]
        own = samples.features[row, :count]
        alone = pointer.chances(network, own)
        assert alone.sum() == pytest.approx(1, abs=1e-5)
        assert together[row, [*range(count), -1]] == pytest.approx(alone, abs=1e-5)
        order = random.permutation(count)
        assert pointer.chances(network, own[order])[:-1] == pytest.approx(alone[:-1][order], abs=1e-5)


def test_numpy_s_forecasts_are_torch_s(samples):
    torch = pytest.importorskip("torch", reason="needs torch, of the extra learn")
    network = weights(2)
    layers = {name: torch.from_numpy(getattr(network, name)) for name in pointer.SHAPES}
    raw = pointer_scores(torch, layers, torch.from_numpy(samples.features), torch.from_numpy(samples.counts))
    theirs = torch.log_softmax(raw.double(), 1).numpy()
    ours = pointer.forecasts(network, samples)
    is_there = np.isfinite(ours)
    assert ours[is_there] == pytest.approx(theirs[is_there], abs=1e-4)
    assert np.exp(theirs[~is_there]).max(initial=0) == 0


def test_networks_learn_a_load_better_than_counts_and_each_seed_is_one_network():
    pytest.importorskip("torch", reason="needs torch, of the extra learn")
    learned, tested = [samples_of(drawn_run(seed, 1000)) for seed in (10, 11)], samples_of(drawn_run(12, 800))
    network = trained_pointer(learned, seed=3, epochs=8)
    found = score(pointer.forecasts(network, tested), tested)
    counted = score(rule(tested, "markov2"), tested)
    assert found.top1 > counted.top1 + 0.1
    assert found.nll < counted.nll - 0.1
    again = trained_pointer(learned, seed=3, epochs=1), trained_pointer(learned, seed=3, epochs=1)
    assert np.array_equal(again[0].w1, again[1].w1)
    for kind in ("LSTM", "GRU"):
        recurrent = trained_recurrent(
            kind, [each.run for each in learned], seed=3, epochs=1, tuning=Tuning(6e-3, 16, 64)
        )
        assert np.exp(recurrent.forecasts(tested)).sum(axis=1) == pytest.approx(1)
        # It knows no role of this run, so it prefers none of them.
        other = samples_of(drawn_run(12, 600, tasks=6)).of(np.arange(5))
        strange = recurrent.forecasts(
            type(other)(**{**vars(other), "run": type(other.run)("x", 1, ("idle", *"uvwxyz"), other.run.events)})
        )
        tasks = other.tasks > 0
        assert np.ptp(strange[0, :-1][tasks[0]]) < 1e-9


@pytest.fixture
def asked(monkeypatch):
    """Which runs each tuning learned from; its loss is its distance from one tuning."""
    asked = {}

    def trained(kind, runs, seed, epochs, tuning):
        asked[tuning] = (kind, [run.number for run in runs], seed, epochs)
        return tuning

    def loss(tuning, judged):
        assert [each.run.number for each in judged] == [3, 2]
        return abs(tuning.rate - 3e-2) + abs(tuning.width - 256) / 1e3 + abs(tuning.length - 16) / 1e4

    monkeypatch.setattr(networks, "trained_recurrent", trained)
    monkeypatch.setattr(networks, "_loss", loss)
    return asked


def test_a_tuning_is_chosen_by_the_last_run_to_learn_from_of_each_dataset_alone(asked):
    sets = [
        [samples_of(drawn_run(each, 300, number=each), warm=50) for each in numbers] for numbers in ((1, 2, 3), (1, 2))
    ]
    tried = tried_tunings("GRU", sets, 4)
    assert best(tried) == Tuning(3e-2, 256, 16)
    assert set(asked) == set(tried)
    assert set(map(str, asked.values())) == {str(("GRU", [1, 2, 1], 0, 4))}


def test_with_one_run_to_learn_from_no_tuning_is_tried(asked):
    assert tried_tunings("GRU", [[samples_of(drawn_run(1, 300), warm=50)]], 4) == {}
    assert best({}) == networks.FIRST


def test_each_switch_is_in_the_sequences_and_comes_once():
    run = drawn_run(1, 300)
    indices = {role: at for at, role in enumerate(run.roles, 1)}
    for length in (16, 100, 1000):
        ids, _ = networks._sequences([run], indices, length)
        answers = ids[:, 1:]
        assert (answers >= 0).sum() == run.switches - 2  # the first one of each of two CPUs is no answer


# ---- files ----


@pytest.fixture
def model():
    return Model({0: weights(1), 7: weights(2)}, ("ab" * 32,), ("web",), {"torch": "2"})


def test_a_model_comes_back_to_the_bit(model, tmp_path):
    save_model(model, tmp_path / "one")
    found = load_model(tmp_path / "one")
    save_model(found, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600
    assert (found.learned_from, found.workloads, found.facts) == (model.learned_from, model.workloads, model.facts)
    assert list(found.networks) == [0, 7]
    assert np.array_equal(found.networks[7].w3, model.networks[7].w3)


def said_otherwise(path, **others):
    """The file with other words in its description, of the same arrays."""
    content = path.read_bytes()
    said = json.loads(
        json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["schedtel.oracle"]
    )
    path.write_bytes(save(load(content), metadata={"schedtel.oracle": json.dumps(said | others)}))


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ({"format": 2}, "it has format 2"),
        ({"features": ["queued"]}, "other features"),
        ({"seeds": [0, 1]}, "damaged"),
        ({"seeds": []}, "damaged"),
        ({"seeds": None}, "damaged"),
        ({"facts": []}, "damaged"),
        ({"format": "x"}, "no file of"),
    ],
)
def test_a_model_that_says_what_cannot_be_is_refused(model, tmp_path, others, why):
    save_model(model, tmp_path / "one")
    said_otherwise(tmp_path / "one", **others)
    assert why in refused(UsageError, load_model, tmp_path / "one")


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x08" + bytes(7) + b"{}      ", None], ids=str)
def test_a_file_that_is_no_model_is_refused(model, tmp_path, content):
    save_model(model, tmp_path / "one")
    whole = (tmp_path / "one").read_bytes()
    (tmp_path / "one").write_bytes(whole[:-9] if content is None else content)
    assert "no file of `schedtel oracle train`" in refused(UsageError, load_model, tmp_path / "one")


def test_a_number_that_no_training_gives_is_refused(model, tmp_path):
    model.networks[7].w2[3, 3] = np.nan
    save_model(model, tmp_path / "one")
    assert "damaged" in refused(UsageError, load_model, tmp_path / "one")
