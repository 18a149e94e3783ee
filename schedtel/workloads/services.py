"""How much work a job is: a table of TOML in; nanoseconds of calibrated work for each of many jobs out."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedtel.durations import NS_PER_S
from schedtel.workloads.chance import Chance
from schedtel.workloads.fields import Fields, kind_of

#: The longest work of one job, an hour.
_MOST_NS = 3600 * NS_PER_S


@dataclass(frozen=True)
class Service:
    """A distribution of work. ``kind`` names it; the other fields are its parameters, in ns where a name says so."""

    kind: str
    mean_ns: float
    sigma: float = 0.0
    alpha: float = 0.0
    long_ns: int = 0
    long_share: float = 0.0
    most_ns: int = _MOST_NS

    def draw(self, chance: Chance, count: int) -> NDArray[np.int64]:
        """``count`` jobs' work in ns of calibrated work, at least 1 and at most ``most_ns``."""
        drawn = np.rint(_DRAWS[self.kind](self, chance, count))
        return np.clip(drawn, 1, self.most_ns).astype(np.int64)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


# ---- drawing, by inversion ----


def _fixed(service: Service, _chance: Chance, count: int) -> NDArray[np.float64]:
    return np.full(count, service.mean_ns)


def _exponential(service: Service, chance: Chance, count: int) -> NDArray[np.float64]:
    return service.mean_ns * chance.exponential(count)


def _lognormal(service: Service, chance: Chance, count: int) -> NDArray[np.float64]:
    location = math.log(service.mean_ns) - service.sigma**2 / 2
    return np.exp(location + service.sigma * chance.normal(count))


def _pareto(service: Service, chance: Chance, count: int) -> NDArray[np.float64]:
    least = service.mean_ns * (service.alpha - 1) / service.alpha
    return least * chance.uniform(count) ** (-1 / service.alpha)


def _bimodal(service: Service, chance: Chance, count: int) -> NDArray[np.float64]:
    short_ns = (service.mean_ns - service.long_share * service.long_ns) / (1 - service.long_share)
    return np.where(chance.uniform(count) < service.long_share, float(service.long_ns), short_ns)


_DRAWS = {
    "fixed": _fixed,
    "exponential": _exponential,
    "lognormal": _lognormal,
    "pareto": _pareto,
    "bimodal": _bimodal,
    "recorded": _fixed,  # replaced by what was recorded: see plan.py
}


# ---- reading ----


def _mean(fields: Fields) -> int:
    return fields.duration("mean", most=_MOST_NS)


def _most(fields: Fields) -> int:
    return fields.duration("most", _MOST_NS, most=_MOST_NS)


def _read_bimodal(fields: Fields) -> Service:
    short, long = fields.duration("short", most=_MOST_NS), fields.duration("long", most=_MOST_NS)
    share = fields.number("long_share", 0, 0.999)
    return Service("bimodal", short * (1 - share) + long * share, long_ns=long, long_share=share)


_READERS = {
    "fixed": lambda fields: Service("fixed", _mean(fields)),
    "exponential": lambda fields: Service("exponential", _mean(fields), most_ns=_most(fields)),
    "lognormal": lambda fields: Service(
        "lognormal", _mean(fields), sigma=fields.number("sigma", 0.01, 5), most_ns=_most(fields)
    ),
    # Up to 1 the mean of a Pareto distribution is infinite.
    "pareto": lambda fields: Service(
        "pareto", _mean(fields), alpha=fields.number("alpha", 1.01, 100), most_ns=_most(fields)
    ),
    "bimodal": _read_bimodal,
    "recorded": lambda _fields: Service("recorded", 1),
}


def read_service(raw: object, where: str) -> Service:
    """The distribution that a table describes; a text such as "5ms" is a fixed one."""
    if isinstance(raw, str) and raw not in _READERS:
        raw = {"kind": "fixed", "mean": raw}
    return kind_of(raw, where, _READERS)
