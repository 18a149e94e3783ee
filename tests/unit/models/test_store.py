"""The registry: what is damaged is refused before it is used, and writers at once lose nothing."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from refusals import refused

from schedtel.dags.families import preset
from schedtel.dags.spec import as_table, parse_graph
from schedtel.errors import UsageError
from schedtel.models.checking import faults
from schedtel.models.curation import losses, merge, rollback, split, update
from schedtel.models.network import Network
from schedtel.models.picking import families_of, nearest
from schedtel.models.store import KINDS, Store
from schedtel.models.weights import parse_weights, read_weights, weights_bytes

pytest.importorskip("safetensors", reason="safetensors is not installed (pip install 'schedtel[agent]')")

GRAPHS = {name: preset(name) for name in ("cholesky-3", "cholesky-4", "wait")}


def weights(value=0.0, size=20):
    return {"0.weight": np.full((1, size), value, np.float32), "0.bias": np.zeros(1, np.float32)}


def by_weight(network, dag):
    """A judge for tests: the cost of a graph is a number of the weights, another one for each graph."""
    values = network(np.eye(20, dtype=np.float32))[:, 0]
    return 100.0 + float(values[len(dag.jobs) % 20])


def with_costs(**costs):
    """Weights that cost so much above 100 on a graph of so many jobs."""
    made = weights()
    for jobs, cost in costs.items():
        made["0.weight"][0, int(jobs[1:]) % 20] = cost
    return made


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "models")


def content(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


DAMAGES = {
    "truncated": lambda b: b[:-10],
    "cut in the header": lambda b: b[:20],
    "empty": lambda _: b"",
    "a huge header": lambda b: b"\xff" * 8 + b[8:],
    "a header beyond the file": lambda b: (len(b)).to_bytes(8, "little") + b[8:],
    "random": lambda _: bytes(range(256)) * 4,
    "pickled": lambda _: pickle.dumps({"0.weight": [1.0]}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_no_weights_is_refused(damage, tmp_path):
    whole = weights_bytes(weights(1.0))
    (tmp_path / "x.safetensors").write_bytes(DAMAGES[damage](whole))
    refused(UsageError, read_weights, str(tmp_path / "x.safetensors"))


def test_arrays_that_are_no_weights_are_refused():
    save = __import__("safetensors.numpy", fromlist=["save"]).save
    for values in (np.zeros(3, np.float64), np.zeros(0, np.float32), np.float32([np.nan]), np.float32([1e30])):
        refused(UsageError, parse_weights, save({"0.weight": values}), "x")
    refused(UsageError, parse_weights, save({f"{n}.bias": np.zeros(1, np.float32) for n in range(65)}), "x")


@pytest.mark.parametrize("kind", [*KINDS, "names"])
@pytest.mark.parametrize("damage", [*DAMAGES, "a flipped bit"])
def test_what_is_damaged_in_the_store_is_refused_before_it_is_used(store, kind, damage):
    """A bit that is flipped in a number is a valid file of safetensors: only the digest tells."""
    version = update(store, by_weight, "m", weights(1.0), GRAPHS, 0.0).version
    assert list(faults(store)) == []
    path = next((store.root / kind).glob("[!.]*"))
    whole = path.read_bytes()
    broken = whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:] if damage == "a flipped bit" else DAMAGES[damage](whole)
    path.write_bytes(broken)
    judged = []
    refused(UsageError, _use_all, store, version, judged)
    assert judged == []
    assert len(list(faults(store))) >= 1


def _use_all(store, version, judged):
    for known in store.manifest(version).evaluation.values():
        store.graph(known.graph, "x")
    store.history("m")
    judged.append(Network(store.arrays(version)))


def test_each_bit_of_the_weights_counts(store):
    version = update(store, by_weight, "m", weights(1.0), GRAPHS, 0.0).version
    path = store.root / "weights" / store.manifest(version).weights
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        refused(UsageError, store.arrays, version)
    path.write_bytes(whole)
    assert store.arrays(version)["0.bias"].shape == (1,)


def test_a_graph_comes_back_as_it_was():
    for name in ("cholesky-3", "qr-2", "wait", "cholesky-2-readys"):
        dag = preset(name)
        assert parse_graph(json.loads(json.dumps(as_table(dag))), "x") == dag


def test_a_version_that_loses_on_a_known_graph_is_not_accepted(store):
    first = update(store, by_weight, "m", with_costs(n10=5, n4=0), {n: GRAPHS[n] for n in ("cholesky-3", "wait")}, 0.02)
    assert (first.accepted, first.before) == (True, {})
    assert first.after == {"cholesky-3": 105.0, "wait": 100.0}
    worse = update(store, by_weight, "m", with_costs(n10=0, n4=4), {"cholesky-4": GRAPHS["cholesky-4"]}, 0.02)
    assert (worse.accepted, worse.worse) == (False, ("wait",))
    assert set(worse.after) == set(GRAPHS)
    assert store.history("m") == [first.version]
    allowed = update(store, by_weight, "m", with_costs(n10=0, n4=2), {}, 0.02)
    assert allowed.accepted
    assert store.history("m") == [first.version, allowed.version]
    assert store.manifest(allowed.version).parents == (first.version,)
    assert rollback(store, "m", None) == first.version
    assert store.resolve("m") == first.version
    refused(UsageError, rollback, store, "m", None)
    refused(UsageError, rollback, store, "m", worse.version)
    assert list(faults(store)) == []


def test_the_same_weights_are_no_new_version(store):
    first = update(store, by_weight, "m", weights(1.0), GRAPHS, 0)
    assert update(store, by_weight, "m", weights(1.0), {}, 0).version == first.version
    assert store.history("m") == [first.version]


def test_another_graph_of_a_known_name_is_refused(store):
    update(store, by_weight, "m", weights(1.0), {"wait": GRAPHS["wait"]}, 0)
    other = {"wait": GRAPHS["wait"].with_devices({"cpu": 2})}
    assert "another graph is called 'wait'" in refused(
        UsageError, update, store, by_weight, "m", weights(2.0), other, 9
    )


def test_what_is_damaged_is_mended_by_who_writes_it_again(store):
    update(store, by_weight, "m", weights(1.0), GRAPHS, 0)
    next((store.root / "weights").glob("[!.]*")).write_bytes(b"damaged")
    assert len(list(faults(store))) == 1
    update(store, by_weight, "n", weights(1.0), GRAPHS, 0)
    assert list(faults(store)) == []


def test_losses_are_by_share():
    assert losses({"a": 100, "b": 100}, {"a": 102, "b": 103, "c": 9}, 0.02) == ("b",)


def family(store):
    """A model, and two that were trained on from it, each better on one graph and worse on the other."""
    base = update(
        store, by_weight, "base", with_costs(n10=10, n4=10), {n: GRAPHS[n] for n in ("cholesky-3", "wait")}, 1
    )
    for name, costs in (("one", {"n10": 0, "n4": 10}), ("two", {"n10": 10, "n4": 2})):
        assert update(store, by_weight, name, with_costs(**costs), {}, 1, "base").accepted
    return base.version


def test_models_of_one_ancestor_are_averaged(store):
    family(store)
    verdict = merge(store, by_weight, "both", ["one", "two"], "average", 0.06, None)
    assert verdict.accepted
    assert verdict.before == {"cholesky-3": 100.0, "wait": 102.0}
    assert verdict.after == {"cholesky-3": 105.0, "wait": 106.0}
    assert set(store.manifest(verdict.version).parents) == {store.resolve("one"), store.resolve("two")}
    assert not merge(store, by_weight, "strict", ["one", "two"], "average", 0.0, None).accepted
    assert "strict" not in store.names()


def test_ties_keeps_both_changes_where_they_do_not_disagree(store):
    """Each changed one number, by the most: the merged one has both, on paper 100 and 102."""
    family(store)
    verdict = merge(store, by_weight, "both", ["one", "two"], "ties", 0.0, None)
    assert verdict.after == {"cholesky-3": 100.0, "wait": 102.0}


def test_strangers_are_not_merged(store):
    update(store, by_weight, "a", weights(1.0), GRAPHS, 0)
    update(store, by_weight, "b", weights(2.0), GRAPHS, 0)
    assert "no common ancestor" in refused(UsageError, merge, store, by_weight, "c", ["a", "b"], "average", 0, None)
    refused(UsageError, merge, store, by_weight, "c", ["a", "a"], "average", 0, None)


def test_strangers_are_distilled_each_on_the_graphs_on_which_it_is_best(store):
    """The one has 101 on `wait` and on `cholesky-3`, the other 100 and 102."""
    update(store, by_weight, "a", with_costs(n10=1, n4=1), GRAPHS, 0)
    update(store, by_weight, "b", with_costs(n10=2, n4=0), GRAPHS, 0)
    costs = {name: store.manifest(store.resolve(name)).costs for name in "ab"}
    told = []

    def distil(lessons):
        told.extend((dag.name, by_weight(Network(arrays), dag)) for arrays, dag in lessons)
        return lessons[0][0]

    version = merge(store, by_weight, "both", ["a", "b"], None, 1, distil).version
    assert dict(told) == {graph: min(costs["a"][graph], costs["b"][graph]) for graph in costs["a"]}
    assert store.manifest(version).made == "distil"
    assert "no common ancestor" in refused(UsageError, merge, store, by_weight, "c", ["both", "a"], "average", 1, None)


def test_a_model_is_split_where_it_loses_to_what_it_comes_from(store):
    family(store)
    merge(store, by_weight, "both", ["one", "two"], "average", 1, None)
    parts = split(store, "both", 0.02)
    assert sorted(map(sorted, parts.values())) == [["cholesky-3"], ["wait"]]
    owner = next(name for name, graphs in parts.items() if graphs == ["wait"])
    assert store.manifest(store.resolve(owner)).weights == store.manifest(store.resolve("two")).weights
    refused(UsageError, split, store, "both", 0.02)
    assert split(store, "base", 0.02) == {}


def test_the_nearest_model_is_found(store):
    update(store, by_weight, "factoring", weights(1.0), {n: GRAPHS[n] for n in ("cholesky-3", "cholesky-4")}, 0)
    update(store, by_weight, "waiting", weights(2.0), {"wait": GRAPHS["wait"]}, 0)
    from schedtel.dags.fingerprint import fingerprint  # noqa: PLC0415

    first, second = nearest(store, fingerprint(preset("cholesky-5")))
    assert (first.name, first.graph) == ("factoring", "cholesky-4")
    assert first.far < 1 < second.far
    found = families_of(store)
    assert len(found["factoring"]) == 1
    assert found["factoring"] != found["waiting"]


def test_writers_at_once_lose_nothing(store):
    """Three processes put two versions each under one name: all are in its history, one after the other."""
    program = (
        "import sys; sys.path[:0] = ['tests/support', 'tests/unit/models']; import numpy as np;"
        "from test_store import *;"
        "[update(Store(sys.argv[1]), by_weight, 'm', weights(0.001 * (2 * int(sys.argv[2]) + n + 1)), GRAPHS, 1)"
        " for n in (0, 1)]"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(store.root), str(n)], cwd=_root(), stderr=-1)
        for n in range(3)
    ]
    for writer in writers:
        _, err = writer.communicate(timeout=60)
        assert writer.returncode == 0, err
    history = store.history("m")
    assert len(history) == len(set(history)) == 6
    parents = [store.manifest(version).parents for version in history]
    assert parents == [(), *((version,) for version in history[:-1])]
    assert list(faults(store)) == []


def _root():
    return os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


def test_names_and_versions_that_are_not_there_are_refused(store):
    refused(UsageError, store.history, "m")
    update(store, by_weight, "m", weights(1.0), GRAPHS, 0)
    for name in ("n", "../m", "", "M", "x" * 65, "m\n"):
        refused(UsageError, store.history, name)
    version = store.resolve("m")
    assert store.resolve(version[:8]) == version
    for text in (version[:7], "00000000", "zz"):
        refused(UsageError, store.resolve, text)
    refused(UsageError, update, store, by_weight, "../x", weights(1.0), GRAPHS, 0)
    refused(UsageError, update, store, by_weight, "x", weights(1.0), {}, 0)
    refused(UsageError, update, store, by_weight, "x", {"a": np.zeros(1, np.float32)}, GRAPHS, 0)


def test_a_directory_that_others_can_write_to_is_refused(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models").chmod(0o777)
    os.chmod(tmp_path / "models", 0o777)
    for kind in (*KINDS, "names"):
        (tmp_path / "models" / kind).mkdir()
        os.chmod(tmp_path / "models" / kind, 0o777)
    refused(UsageError, update, Store(tmp_path / "models"), by_weight, "m", weights(1.0), GRAPHS, 0)


def test_a_network_is_that_of_torch_on_paper():
    """Two layers by hand: max(0, x @ W1' + b1) @ W2' + b2."""
    arrays = {
        "net.0.weight": np.float32([[1, -1], [2, 0]]),
        "net.0.bias": np.float32([0, -1]),
        "net.2.weight": np.float32([[1, 10]]),
        "net.2.bias": np.float32([0.5]),
    }
    network = Network(arrays)
    assert network(np.float32([[3, 1], [0, 5]])).tolist() == [[2 + 50 + 0.5], [0.5]]
    for changes in ({"net.2.weight": np.float32([[1]])}, {"net.0.bias": np.float32([0])}, {"x": np.float32([0])}):
        refused(UsageError, Network, arrays | changes)
    refused(UsageError, network.need_for, 7, 3)
    assert network.decide(np.float32([[3, 1, 0, 5]]), np.array([[True, True]])).tolist() == [0]
    assert network.decide(np.float32([[3, 1, 0, 5]]), np.array([[False, True]])).tolist() == [1]
