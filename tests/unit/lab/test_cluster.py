"""Guests of a cluster: how tasks are given out, and what comes back. No guest boots here."""

import pytest

from schedtel.errors import CollectorError
from schedtel.lab import cluster
from schedtel.lab.cluster import ClusterGuests, done_here, versions
from schedtel.lab.guests import Done, Guests, Job
from schedtel.lab.machine import Machine
from schedtel.lab.packages import Qemu

JOBS = [Job(name, {"/name": name.encode()}) for name in "abcde"]


class Ray:
    """A cluster of two CPUs, whose tasks end in the order in which they began, with these answers."""

    class exceptions:  # noqa: N801  (as Ray calls it)
        class RayError(Exception):
            """What a task fails with."""

    def __init__(self, answers):
        self.answers, self.running, self.most, self.ended = answers, [], 0, []

    def cluster_resources(self):
        return {"CPU": 2.0}

    def remote(self, **options):
        assert options == {"num_cpus": 1, "max_retries": 0}
        return lambda _: self

    def _begin(self, files):
        self.running.append(files["/name"].decode())
        self.most = max(self.most, len(self.running))
        return self.running[-1]

    def put(self, value):
        # As Ray calls a function's remote().
        self.remote = lambda _same, given, files, _timeout_s: self._begin(files) if given == value else None
        return value

    def wait(self, tasks, timeout):
        assert timeout < 1
        return [tasks[0]], tasks[1:]

    def get(self, task):
        self.running.remove(task)
        answer = self.answers.get(task, (0, b"said", task.encode()))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self, task, *, force):
        assert force
        self.ended.append(task)

    def shutdown(self):
        self.ended.append("all")


@pytest.fixture
def guests(tmp_path, monkeypatch):
    def made(answers=(), most=None):
        ray = Ray(dict(answers))
        monkeypatch.setattr(cluster, "connected", lambda _: ray)
        machine = Machine(Qemu(tmp_path / "qemu-system-x86_10.0.2"), tmp_path / "vmlinuz-6.18", tmp_path / "archive")
        return ray, ClusterGuests("auto", machine, "6.18", {}, most)

    return made


@pytest.mark.parametrize(("most", "at_a_time"), [(None, 2), (1, 1), (9, 5)])
def test_each_job_is_given_to_the_cluster_once_and_so_many_at_a_time(most, at_a_time, guests):
    (ray, made), begun = guests(most=most), []
    done = {job.name: each.results for job, each in made.done(JOBS, lambda job: begun.append(job.name))}
    assert done == {name: name.encode() for name in "abcde"}
    assert (begun, ray.most, ray.ended) == (list("abcde"), at_a_time, ["all"])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("cannot boot a guest: no memory", "a machine of the cluster: cannot boot a guest: no memory"),
        (Ray.exceptions.RayError("a long story\nthe worker died"), "in the cluster: the worker died"),
        ((0, "text", b""), "garbled"),
        (None, "garbled"),
    ],
)
def test_a_task_that_fails_ends_the_others_in_one_line(answer, words, guests):
    ray, made = guests({"b": answer})
    done = made.done(JOBS, lambda _: None)
    assert next(done)[0].name == "a"
    with pytest.raises(CollectorError, match=words):
        list(done)
    assert ray.ended == ["c", "all"]


def test_what_is_stopped_ends_its_tasks(guests):
    ray, made = guests()
    done = made.done(JOBS, lambda _: None)
    assert next(done)[0].name == "a"
    made.stop()
    assert [job.name for job, _ in done] == []
    assert ray.ended == ["b", "all"]


def test_a_machine_with_other_versions_makes_no_run(tmp_path, monkeypatch):
    machine = Machine(Qemu(tmp_path / "qemu-system-x86_10.0.2"), tmp_path / "vmlinuz-6.18", tmp_path / "archive")
    monkeypatch.setattr(cluster, "_beginning", lambda *_: (machine, None))
    said = done_here({**versions(machine), "numpy": "1.0"}, ("6.18", 1, None, ()), {}, 9)
    assert said.startswith("cannot make a run: numpy is ")
    assert said.endswith(" there, and 1.0 here (install the same)")


def test_a_process_of_the_cluster_does_one_job_after_another(tmp_path, monkeypatch):
    machine = Machine(Qemu(tmp_path / "qemu-system-x86_10.0.2"), tmp_path / "vmlinuz-6.18", tmp_path / "archive")
    monkeypatch.setattr(cluster, "_beginning", lambda *_: (machine, None))
    monkeypatch.setattr(Guests, "_do", lambda guests, number, job: Done(0, job.files["/name"], b"results"))
    said = [done_here(versions(machine), ("6.18", 1, None, ()), job.files, 9) for job in JOBS]
    assert said == [(0, job.files["/name"], b"results") for job in JOBS]
