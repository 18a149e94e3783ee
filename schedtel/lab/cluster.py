"""Jobs in; what each did in a guest on a machine of a Ray cluster, in the order in which they end, out.

A job is described by plain data: names, numbers and files. A machine of the cluster has schedtel and Ray; packages that
it lacks are fetched there, and the snapshot that its guests begin from is taken there. What comes back is bytes.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from schedtel.access.ray_cluster import connected, last_line_of
from schedtel.errors import CollectorError, SchedtelError
from schedtel.host import versions as here
from schedtel.lab.guests import Done, Guests, Job
from schedtel.lab.jobs import machine
from schedtel.lab.machine import Bootable, Machine
from schedtel.lab.snapshot import snapshot

_POLL_S = 0.2


class ClusterGuests:
    """Guests on the machines of a Ray cluster. Who made the cluster is trusted: Ray runs what it is sent.

    :param address: the cluster's, as ``ray.init`` takes it.
    :param machine: what each guest is, as this host would make it.
    :param kernel: the version by which the lab knows its kernel.
    :param schedulers: files that all of them have, by paths in the guest.
    :param most: how many run at a time; by default one for each CPU of the cluster.
    :param timeout_s: for each job, on the clock of its host.

    Raises :class:`CapabilityError` where Ray is not installed, or the cluster is out of reach.
    """

    def __init__(
        self,
        address: str,
        machine: Machine,
        kernel: str,
        schedulers: Mapping[str, bytes],
        most: int | None = None,
        timeout_s: float = 900,
    ) -> None:
        self._ray = connected(address)
        self._make = self._ray.remote(num_cpus=1, max_retries=0)(done_here)
        self._same = versions(machine)
        self._machine = (kernel, machine.cpus, machine.preempt, tuple(sorted(schedulers.items())))
        self._most = most or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._timeout_s, self._stopped = timeout_s, False

    def stop(self) -> None:
        """End all guests. Safe in a signal handler and from any thread."""
        self._stopped = True

    def done(self, work: Sequence[Job], begin: Callable[[Job], object]) -> Iterator[tuple[Job, Done]]:
        """See :meth:`Guests.done`. Raises :class:`CollectorError` for a machine that fails or has other versions."""
        waiting, running = deque(work), dict[Any, Job]()
        try:
            given = self._ray.put(self._machine)
            while (waiting or running) and not self._stopped:
                while waiting and len(running) < self._most:
                    begin(waiting[0])
                    task = self._make.remote(self._same, given, dict(waiting[0].files), self._timeout_s)
                    running[task] = waiting.popleft()
                for task in self._ray.wait(list(running), timeout=_POLL_S)[0]:
                    yield running.pop(task), self._done(task)
        finally:
            for task in running:
                self._ray.cancel(task, force=True)
            self._ray.shutdown()

    def _done(self, task: object) -> Done:
        try:
            answer = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            raise CollectorError(f"cannot go on in the cluster: {last_line_of(error)} (see its logs)") from error
        if isinstance(answer, str):
            raise CollectorError(f"on a machine of the cluster: {answer}")
        return _checked(answer)


def _checked(answer: object) -> Done:
    match answer:
        case (int() as status, bytes() as said, bytes() as results):
            return Done(status, said, results)
    raise CollectorError("cannot read the cluster's answer: it is garbled (has it this schedtel?)")


def versions(machine: Machine) -> dict[str, str]:
    """What must be the same on all machines of the cluster."""
    return {**here.versions("numpy", "pyarrow"), "guest": machine.name}


def done_here(
    same: Mapping[str, str],
    described: tuple[str, int, str | None, tuple[tuple[str, bytes], ...]],
    files: Mapping[str, bytes],
    timeout_s: float,
) -> tuple[int, bytes, bytes] | str:
    """On a machine of the cluster: status, stderr and results of a job; or why there are none, as text.

    :param same: the versions that it must have.
    :param described: kernel, number of CPUs, model of preemption and files of its guests.
    """
    try:
        guest, start = _beginning(*described)
        other = {name: value for name, value in versions(guest).items() if same.get(name) != value}
        if other:
            name, value = next(iter(other.items()))
            return f"cannot make a run: {name} is {value} there, and {same.get(name)} here (install the same)"
        for _, done in Guests(start, 1, timeout_s).done([Job("job", files)], lambda _: None):
            return done.status, done.said, done.results
    except SchedtelError as error:
        return str(error)
    return "cannot make a run: it was stopped there (run it again)"


@cache
def _beginning(
    kernel: str, cpus: int, preempt: str | None, schedulers: tuple[tuple[str, bytes], ...]
) -> tuple[Machine, Bootable]:
    """The guest, and what its jobs begin from. Once in a process, which does many jobs."""
    guest = machine(kernel, cpus, preempt=preempt)
    start = snapshot(guest, dict(schedulers))
    if start is None:
        raise CollectorError("cannot make a run: the guest was stopped (run it again)")
    return guest, start
