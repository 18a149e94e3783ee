"""When jobs arrive: a table of TOML in; moments in ns of a class's own time, which phases stretch, out."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedtel.durations import NS_PER_S
from schedtel.errors import UsageError
from schedtel.workloads.chance import Chance
from schedtel.workloads.fields import Fields, kind_of
from schedtel.workloads.services import Service, read_service

#: Releases a second that one dispatcher can make, with room: one costs it some microseconds.
MOST_RATE = 100_000.0
#: Drawn at a time.
_BLOCK = 4096


@dataclass(frozen=True)
class Arrival:
    """An arrival process. ``kind`` names it; the other fields are its parameters, rates per second."""

    kind: str
    rates: tuple[float, ...] = ()
    dwell_ns: tuple[int, ...] = ()
    batch: int = 1
    period_ns: int = 0
    offset_ns: int = 0
    jitter_ns: int = 0
    think: Service | None = None
    recording: str = ""
    comm: str = ""
    speed: float = 1.0

    @property
    def is_open(self) -> bool:
        """Whether jobs arrive whatever became of those before them."""
        return self.kind != "closed"

    def mean_rate(self) -> float:
        """Jobs per second of own time; 0 for a closed class and for a recording, whose rates are not known here."""
        if self.kind == "mmpp":
            return self.batch * float(np.average(self.rates, weights=self.dwell_ns))
        if self.kind == "periodic":
            return self.batch * NS_PER_S / self.period_ns
        return self.batch * sum(self.rates)

    def draw(self, chance: Chance, end_ns: int) -> NDArray[np.int64]:
        """Moments from 0 to before ``end_ns``, sorted; a batch is that many equal moments."""
        moments = _DRAWS[self.kind](self, chance, end_ns)
        return np.repeat(moments[moments < end_ns], self.batch)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


# ---- drawing ----


def _poisson(arrival: Arrival, chance: Chance, end_ns: int) -> NDArray[np.int64]:
    return _exponential_gaps(chance, NS_PER_S / arrival.rates[0], end_ns)


def _exponential_gaps(chance: Chance, mean_ns: float, end_ns: float) -> NDArray[np.int64]:
    """Sums of gaps until one passes the end.

    Each gap is rounded before it is added: a logarithm that another processor rounds differently in its last bit then
    moves one gap by a nanosecond, in one of some million gaps, and no sum by more.
    """
    parts, last = [], 0
    while last < end_ns:
        gaps = np.rint(mean_ns * chance.exponential(_BLOCK)).astype(np.int64)
        parts.append(last + np.cumsum(gaps))
        last = int(parts[-1][-1])
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _mmpp(arrival: Arrival, chance: Chance, end_ns: int) -> NDArray[np.int64]:
    """A Poisson process of rate 1 whose time runs at the rate of the state of the moment."""
    edges, last = [0], 0
    states = chance.beside("states")  # a longer run has more of them, and otherwise the same arrivals
    while last < end_ns:
        stays = np.rint(np.array(arrival.dwell_ns) * states.exponential(len(arrival.rates))).astype(np.int64)
        for stay in stays.tolist():
            last += max(1, stay)
            edges.append(last)
    rates = np.resize(np.array(arrival.rates), len(edges) - 1)
    passed = np.concatenate([[0.0], np.cumsum(rates * np.diff(edges))])  # in arrivals times 10⁹
    moments = _exponential_gaps(chance, float(NS_PER_S), passed[-1])
    return np.rint(np.interp(moments[moments < passed[-1]], passed, edges)).astype(np.int64)


def _periodic(arrival: Arrival, chance: Chance, end_ns: int) -> NDArray[np.int64]:
    moments = np.arange(arrival.offset_ns, end_ns, arrival.period_ns, dtype=np.int64)
    late = np.floor(chance.uniform(len(moments)) * arrival.jitter_ns).astype(np.int64)
    return np.sort(moments + late)


_DRAWS = {"poisson": _poisson, "mmpp": _mmpp, "periodic": _periodic}


# ---- reading ----


def _batch(fields: Fields) -> int:
    return fields.count("batch", 1, 10_000, 1)


def _rate(fields: Fields, name: str, raw: list[float]) -> tuple[float, ...]:
    if not max(raw) > 0:
        raise UsageError(f"cannot use {fields.where}: impossible {name} {raw[0]:g}: no job would arrive (give one > 0)")
    return tuple(raw)


def _read_poisson(fields: Fields) -> Arrival:
    rate = fields.number("rate", 0, MOST_RATE)
    return Arrival("poisson", _rate(fields, "rate", [rate]), batch=_batch(fields))


def _read_mmpp(fields: Fields) -> Arrival:
    rates, dwell = fields.numbers("rates", 0, MOST_RATE), fields.durations("dwell")
    if len(rates) != len(dwell) or len(rates) < 2:
        raise UsageError(
            f"cannot use {fields.where}: {len(rates)} rates and {len(dwell)} dwell times (give as many, at least two)"
        )
    return Arrival("mmpp", _rate(fields, "rates", rates), tuple(dwell), _batch(fields))


def _read_periodic(fields: Fields) -> Arrival:
    period = fields.duration("period", least=int(NS_PER_S / MOST_RATE))
    offset, jitter = fields.duration("offset", 0, least=0), fields.duration("jitter", 0, least=0)
    if jitter > period:
        raise UsageError(f"cannot use {fields.where}: jitter is longer than the period (make it at most as long)")
    return Arrival("periodic", (), (), _batch(fields), period, offset, jitter)


def _read_closed(fields: Fields) -> Arrival:
    think = fields.take("think")
    return Arrival("closed", think=None if think is None else read_service(think, f"{fields.where}.think"))


def _read_recorded(fields: Fields) -> Arrival:
    recording, comm = fields.text("recording"), fields.text("comm", "")
    return Arrival("recorded", recording=recording, comm=comm, speed=fields.number("speed", 0.001, 1000, 1))


_READERS = {
    "poisson": _read_poisson,
    "mmpp": _read_mmpp,
    "periodic": _read_periodic,
    "closed": _read_closed,
    "recorded": _read_recorded,
}


def read_arrival(raw: object, where: str) -> Arrival:
    """The arrival process that a table describes; the text "closed" is a closed class without think times."""
    return kind_of(raw, where, _READERS)
