"""Two works that take turns, A B, B A, A B and so on, and the ratios of the rounds."""

import dataclasses
import statistics
from typing import Callable, Optional

from stage import Load, load

# What of a run is compared.


def throughput(fields):
    return fields["per_second"]


def duration(fields):
    return 1e6 * fields["seconds"] / fields["entries"]


def call_duration(fields):
    return 1e6 * fields["seconds"] / fields["operations"]


def heard(fields):
    return fields["heard_since_begin_p50_us"]


def wal(fields):
    return fields["wal_bytes"] / fields["entries"]


def cpu(fields):
    """Of the backends, which pg tells if they are on its machine."""
    return fields["cpu_us"] / fields["entries"]


UNITS = {throughput: "entries/s", duration: "µs/entry", call_duration: "µs", heard: "µs", wal: "bytes/entry", cpu: "µs/entry"}


@dataclasses.dataclass
class Result:
    """Of a comparison."""

    ratios: list
    a: Optional[float] = None  # the works' figures
    b: Optional[float] = None

    @property
    def ratio(self):
        return statistics.median(self.ratios)


@dataclasses.dataclass
class Comparison:
    name: str
    work: str
    against: str
    sense: str = ">="
    goal: Optional[float] = None
    a: Optional[Load] = None
    b: Optional[Load] = None
    figure: Callable = throughput
    space: Optional[Callable] = None  # of the scale: how many keys there are
    fixed: float = 0  # as many operations for both, since they make the stores larger: the scale's batches times this
    reads: bool = False  # no more: other comparisons find the same
    special: Optional[Callable] = None  # does it all another way
    unit: Optional[str] = None

    def units(self):
        return self.unit or UNITS[self.figure]


def alternate(rounds, run_a, run_b):
    """Let two take turns; return the pairs of their figures."""
    pairs = []
    for turn in range(rounds):
        if turn % 2 == 0:
            a = run_a()
            b = run_b()
        else:
            b = run_b()
            a = run_a()
        pairs.append((a, b))
    return pairs


def result_of(pairs):
    """
    >>> result_of([(2, 1), (9, 3), (8, 2)])
    Result(ratios=[2.0, 3.0, 4.0], a=8, b=2)
    """
    return Result([a / b for a, b in pairs], statistics.median(a for a, _ in pairs),
                  statistics.median(b for _, b in pairs))


def how_long(bench, comparison):
    if comparison.fixed:
        return {"operations": round(comparison.fixed * bench.scale.batches)}
    return {"seconds": bench.scale.seconds}


def compare(bench, comparison):
    """Do what most comparisons are."""
    a, b = comparison.a, comparison.b
    if comparison.special is not None:
        return comparison.special(bench, comparison)
    space = comparison.space(bench.scale) if comparison.space else None
    how = how_long(bench, comparison)
    with bench.store_of(a) as where_a, bench.store_of(b) as where_b:
        if comparison.reads:
            read_database(bench)
        else:
            bench.create_database("bench")
            if space is not None:
                for what, where in ((a, where_a), (b, where_b)):
                    bench.preload(what, space, where)
                if dict(a.options).get("work", "put") != "put":
                    bench.sql("VACUUM ANALYZE")  # or else the first to read would do part of that
        places = [{name: value for name, value in where.items() if name != "server"} for where in (where_a, where_b)]
        if space is not None:
            how["space"] = space
        result = result_of(alternate(
            bench.scale.rounds,
            lambda: comparison.figure(bench.measure(a, **how, **places[0])),
            lambda: comparison.figure(bench.measure(b, **how, **places[1]))))
    if not comparison.reads:
        bench.drop_database("bench")
    return result


def read_database(bench):
    """Have the database that is only read."""
    if bench.sql("SELECT count(*) FROM pg_database WHERE datname = 'bench_read'", "postgres") == "0":
        bench.create_database("bench_read")
        bench.preload(load(way="store"), bench.scale.read_space, {})
        bench.sql("VACUUM ANALYZE")
        bench.sql("CHECKPOINT")
    bench.database = "bench_read"
