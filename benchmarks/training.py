"""What a step of learning costs, acting and environments included, beside Stable-Baselines3 on the same environment.

Runs only on request: ``python -m benchmarks training``. MigrateSim, 256 at a time; two transitions are replayed for
each step, 512 in an update. A sample is the CPU time of the process, by the kernel, for a step of one environment, over
40,960 steps after a first 24,576, which fill the replay. ``schedtel`` is what ``schedtel train`` runs: a network for
things that are alike, duelling, double, three steps at a time, with priorities. The plain network has two layers of
128, as that of Stable-Baselines3 has, whose DQN goes over three steps and has none of the other parts; it is measured
where it is installed.

Other programs make all of it slower, since they take the caches. So there is also the sum of the parts of a step, each
by the quietest of 300 calls: acting in all environments, keeping a chunk, and an update with what it draws.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.failures import BenchmarkError
from benchmarks.measures import Plan, Row, Target, ratio, row
from benchmarks.rounds import interleaved

PART = "training"
_ENVIRONMENT = "MigrateSim"
_ROUNDS = 5
_COUNT, _WARM_UP, _STEPS = 256, 24_576, 40_960
_CALLS = 300
_PEER = "Stable-Baselines3"
#: 40,000 steps a CPU-second.
_TARGET = Target(25)
#: Makes steps until there were so many more; how many there were.
Learn = Callable[[int], int]


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    subjects = {"schedtel": _ours, "schedtel, plain network": partial(_ours, plain=True), _PEER: _theirs}
    samples, notes = interleaved(subjects, plan.rounds(_ROUNDS), lambda make: _step_us(make()))
    quiet, _ = interleaved({"schedtel": False, "schedtel, plain network": True}, plan.rounds(_ROUNDS), _quietest_us)
    rows = [
        row("CPU time of a step", name, "µs", each, _TARGET if name == "schedtel" else None)
        for name, each in samples.items()
    ]
    rows += [
        ratio("CPU time of a step", samples[name], samples[_PEER], f"{name} / {_PEER}")
        for name in samples
        if name != _PEER and _PEER in samples
    ]
    rows += [row("CPU time of a step, by its quietest parts", name, "µs", each) for name, each in quiet.items()]
    return rows, notes


def _step_us(learn: Learn) -> float:
    learn(_WARM_UP)
    before = time.process_time()
    return (learn(_STEPS), time.process_time() - before)[1] / _STEPS * 1e6


def _quietest_us(plain: bool) -> float:
    environment, learner = _made(plain=plain)
    from schedtel.training.learner.experience import Collector  # noqa: PLC0415  (as below)

    collector, act, replay = Collector(environment, 1), learner.acting(_COUNT, 1), learner.replay(1)
    chunks = [collector.collect(act, learner.chunk) for _ in range(_WARM_UP // (_COUNT * learner.chunk))]

    def update() -> None:
        batch = replay.sample(learner.batch)
        replay.learn(batch.places, learner.update(batch))

    keeping = min(_cpu_us(partial(replay.add, chunk)) for chunk in chunks * (_CALLS // len(chunks)))
    acting = min(_cpu_us(lambda: collector.collect(act, 1)) for _ in range(_CALLS))
    learning = min(_cpu_us(update) for _ in range(_CALLS))
    return keeping / (_COUNT * learner.chunk) + acting / _COUNT + learning * learner.replayed / learner.batch


def _cpu_us(call: Callable[[], object]) -> float:
    before = time.thread_time_ns()
    call()
    return (time.thread_time_ns() - before) / 1000


def _made(*, plain: bool) -> tuple[Any, Any]:
    """Environments, and a learner for them."""
    from schedtel.environments.registry import entry_of  # noqa: PLC0415  (torch, which the other parts do without)
    from schedtel.training.learner.dqn import DQN  # noqa: PLC0415
    from schedtel.training.learner.settings import Settings  # noqa: PLC0415

    environment = entry_of(_ENVIRONMENT).make(_COUNT)
    settings = Settings(_ENVIRONMENT, count=_COUNT, hidden=128 if plain else 64)
    sizes = (environment.observation_size, environment.action_count)
    return environment, DQN(settings, *sizes, truncates=True, layout=None if plain else environment.layout)


def _ours(*, plain: bool = False) -> Learn:
    environment, learner = _made(plain=plain)
    from schedtel.training.learner.experience import Collector  # noqa: PLC0415

    collector, act = Collector(environment, 1), learner.acting(_COUNT, 1)

    def chunks() -> Iterator[int]:
        while True:
            chunk = collector.collect(act, learner.chunk)
            learner.take(chunk)
            yield chunk.steps

    made = chunks()

    def learn(steps: int) -> int:
        done = 0
        while done < steps:
            done += next(made)
        return done

    return learn


def _theirs() -> Learn:
    try:
        from benchmarks.training_peer import learner  # noqa: PLC0415
    except ImportError as error:
        raise BenchmarkError(f"{_PEER} is not installed (pip install stable-baselines3)") from error
    return learner(_ENVIRONMENT, _COUNT, _WARM_UP // 2)
