#!/usr/bin/env python3
"""What bench/run does once a server is there: compare, tell, and plot.

Two works that are compared take turns, A B, B A, A B and so on.  Each round has a
ratio of its own; the median of these is the result, their extremes the spread.
"""

import argparse
import collections
import contextlib
import dataclasses
import fnmatch
import functools
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from typing import Any, Callable, Optional

sys.dont_write_bytecode = True

import peers  # noqa: E402  (in this folder)
import plots  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 600  # seconds for what should take a few


class Failure(Exception):
    """Something could not be measured."""


class Missing(Exception):
    """What would be measured is not installed."""


# ------------------------------------------------------------------ statistics


@dataclasses.dataclass
class Result:
    """Of a comparison."""

    ratios: list
    a: Optional[float] = None  # the works' figures
    b: Optional[float] = None

    @property
    def ratio(self):
        return statistics.median(self.ratios)


def reaches(ratio, sense, goal):
    """Whether a ratio is as good as it should be.

    >>> reaches(1.3, ">=", 1.3), reaches(1.29, ">=", 1.3)
    (True, False)
    >>> reaches(0.8, "<=", 0.8), reaches(0.81, "<=", 0.8)
    (True, False)
    """
    return ratio >= goal if sense == ">=" else ratio <= goal


def verdict(result, sense, goal):
    """In words; what lies within the spread is called so.

    >>> verdict(Result([6.0, 6.5, 7.0]), ">=", 6)
    'reached'
    >>> verdict(Result([5.0, 6.5, 7.0]), ">=", 6)
    'reached, within the spread'
    >>> verdict(Result([1, 2, 3]), ">=", 6)
    'not reached'
    >>> verdict(Result([1, 2, 7]), ">=", 6)
    'not reached, within the spread'
    >>> verdict(Result([1.0, 1.1]), "<=", 1.2), verdict(Result([1.3, 1.5]), "<=", 1.2)
    ('reached', 'not reached')
    """
    word = "reached" if reaches(result.ratio, sense, goal) else "not reached"
    sure = {reaches(ratio, sense, goal) for ratio in result.ratios}
    return word if len(sure) == 1 else word + ", within the spread"


def summary(verdicts):
    """How many goals are reached, and of how many this is not certain.

    >>> summary(["reached", "reached, within the spread", "not reached", "not reached, within the spread"])
    '2 of 4 reached, 1 of them within the spread; 2 not reached, 1 of them within the spread.'
    >>> summary(["reached", "reached"])
    '2 of 2 reached, 0 of them within the spread; 0 not reached, 0 of them within the spread.'
    """
    reached = [word for word in verdicts if word.startswith("reached")]
    missed = [word for word in verdicts if word.startswith("not")]

    def unsure(words):
        return f"{sum('within' in word for word in words)} of them within the spread"

    return (f"{len(reached)} of {len(verdicts)} reached, {unsure(reached)};"
            f" {len(missed)} not reached, {unsure(missed)}.")


def number(value):
    """A number as one likes to read it.

    >>> number(None), number(0.012345), number(1.234), number(12.34), number(123.4), number(123456.7)
    ('', '0.0123', '1.23', '12.3', '123', '123,457')
    """
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(head, rows):
    """A table in Markdown; all but the first column are to the right if they look like numbers."""
    def is_numeric(column):
        return all(re.match(r"^[-0-9.,×≥≤ to%]*$", row[column]) for row in rows)

    marks = ["--:" if i > 0 and is_numeric(i) else "---" for i in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, marks, *rows])


# -------------------------------------------------------------------- programs


@dataclasses.dataclass(frozen=True)
class Load:
    """A run of one of the load programs."""

    program: str
    options: tuple

    def with_options(self, **more):
        return Load(self.program, tuple({**dict(self.options), **more}.items()))


def load(program="pg", **options):
    return Load(program, tuple(options.items()))


def arguments_of(options):
    arguments = []
    for name, value in options.items():
        arguments.append("--" + name.replace("_", "-"))
        if value is not True:
            arguments.append(str(value))
    return arguments


@dataclasses.dataclass
class Scale:
    """How much of everything there is to be."""

    rounds: int
    seconds: float  # of one run
    batches: int  # of one run that is not to depend on time
    space: int  # keys of a store that is written to
    read_space: int  # of a store that is read
    logged: int  # batches of a log that is read
    pruned: int  # batches that are pruned behind a snapshot
    sizes: tuple  # of a store that grows
    retention_seconds: int
    retention_keep: int
    points: int  # runs for each point of a plot


FULL = Scale(rounds=5, seconds=1.5, batches=100, space=100_000, read_space=1_000_000, logged=100_000,
             pruned=900_000, sizes=(10_000, 100_000, 1_000_000, 10_000_000),
             retention_seconds=300, retention_keep=100_000, points=3)
QUICK = Scale(rounds=3, seconds=0.25, batches=20, space=20_000, read_space=100_000, logged=10_000,
              pruned=50_000, sizes=(10_000, 100_000),
              retention_seconds=15, retention_keep=10_000, points=1)


class Bench:
    """The server, the programs, and where things go."""

    def __init__(self, area, bindir, scale):
        self.area = area
        self.bindir = bindir
        self.scale = scale
        self.database = "postgres"
        self._seed = 0
        self._folders = 0
        self._running = []
        self._log = open(os.path.join(area, "output", "results.jsonl"), "w", encoding="utf-8")

    def note(self, **fields):
        """Keep what was measured, whatever comes."""
        self._log.write(json.dumps(fields) + "\n")
        self._log.flush()

    # Processes: all that was started ends with us.

    def start(self, command, **more):
        process = subprocess.Popen(command, text=True, **more)
        self._running.append(process)
        return process

    def stop(self, process):
        if process.poll() is None:
            process.terminate()
        process.communicate()
        self._running.remove(process)

    def stop_all(self):
        for process in list(self._running):
            self.stop(process)

    def run(self, command, patience=PATIENCE):
        process = self.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            out, err = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired as expiry:
            raise Failure(f"{command[0]} was not done in {patience} s") from expiry
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            self._running.remove(process)
        if process.returncode != 0:
            raise Failure(f"{os.path.basename(command[0])} failed: {err.strip()}")
        return out

    def sql(self, statement, database=None):
        """Run a statement, return the first column of the last row."""
        out = self.run([os.path.join(self.bindir, "psql"), "--no-psqlrc", "--quiet", "--no-align", "--tuples-only",
                        "--set=ON_ERROR_STOP=1", "--command=SET client_min_messages = warning",
                        f"--command={statement}", database or self.database])
        return out.strip()

    def timed_sql(self, statement):
        """How many seconds a statement takes, as psql tells it."""
        out = self.run([os.path.join(self.bindir, "psql"), "--no-psqlrc", "--quiet", "--no-align", "--tuples-only",
                        "--set=ON_ERROR_STOP=1", "--command=\\timing on", f"--command={statement}", self.database])
        return float(re.search(r"^Time: ([0-9.]+) ms", out, re.MULTILINE).group(1)) / 1000

    def create_database(self, name):
        """Have a new database, empty but for the store and its rivals; dropping the last one made a checkpoint."""
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", "postgres")
        self.sql(f"CREATE DATABASE {name}", "postgres")
        self.run([os.path.join(self.bindir, "psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1",
                  "--command=CREATE EXTENSION storeengine", f"--file={HERE}/sql/rivals.sql", name])
        self.database = name

    def drop_database(self, name):
        self.database = "postgres"
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def new_folder(self):
        self._folders += 1
        folder = os.path.join(self.area, f"peer{self._folders}")
        os.mkdir(folder)
        return folder

    def program(self, name):
        path = os.path.join(HERE, name)
        if not os.path.exists(path):
            raise Missing(f"bench/{name} could not be built: its library is not installed")
        return path

    def command(self, what, **more):
        options = dict(what.options) | more
        if what.program == "pg":
            options.setdefault("target", f"dbname={options.pop('database', self.database)}")
        if "seed" not in options:
            self._seed += 1  # new keys each time
            options["seed"] = self._seed
        return [self.program(what.program), *arguments_of(options)]

    def measure(self, what, **more):
        """Run a load, return what it prints."""
        fields = {}
        for field in self.run(self.command(what, **more)).split():
            name, value = field.split("=")
            fields[name] = float(value)
        self.note(load=what.program, options=dict(what.options) | more, **fields)
        if fields.get("entries", 0) <= 0:
            raise Failure(f"{what.program} has done nothing")
        return fields

    # Stores that are there for a while.

    @contextlib.contextmanager
    def store_of(self, what):
        """Whatever a load needs to run: yields the further options."""
        if what.program == "pg":
            yield {}
        elif what.program == "rocksdb":
            self.program("rocksdb")
            folder = self.new_folder()
            try:
                yield {"target": os.path.join(folder, "data")}
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        else:
            self.program(what.program)
            if peers.missing(what.program):
                raise Missing(f"{peers.missing(what.program)} is not installed")
            start = {"etcd": peers.start_etcd, "redis": peers.start_redis}[what.program]
            folder = self.new_folder()
            try:
                with start(folder) as server:
                    yield {"target": server.target, "server": server}
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def preload(self, what, space, where):
        """Put the keys of a space where a load will look for them."""
        more = {name: value for name, value in where.items() if name != "server"}
        options = {name: value for name, value in dict(what.options).items()
                   if name in ("way", "key_bytes", "value_bytes")}
        if options.get("way") in ("sql", "spi"):
            options["way"] = "store"
        if options.get("way") in ("insert", "copy", "locked", "sorted", "statement", "upsert"):
            options["way"] = "unordered"
        self.run(self.command(load(what.program, **options), load=True, space=space, **more))
        if "server" in where:
            where["server"].restart()  # bench/peers.py says why

    @contextlib.contextmanager
    def background(self, what):
        """Have a load run beside what is measured."""
        before = self.sql("SELECT store_current_sequence()")
        process = self.start(self.command(what, seconds=PATIENCE), stdout=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 60
            while self.sql("SELECT store_current_sequence()") == before:
                if process.poll() is not None or time.monotonic() > end:
                    raise Failure("the load that should run meanwhile does not")
                time.sleep(0.1)
            time.sleep(0.5)  # for all of its clients to be at work
            yield
        finally:
            self.stop(process)

    @contextlib.contextmanager
    def old_snapshot(self):
        """Have a session that holds a snapshot."""
        psql = self.start([os.path.join(self.bindir, "psql"), "--no-psqlrc", "--quiet", "--no-align",
                           "--tuples-only", self.database], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            psql.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 'held';\n")
            psql.stdin.flush()
            if psql.stdout.readline().strip() != "held":
                raise Failure("could not hold a snapshot")
            yield
        finally:
            self.stop(psql)


# --------------------------------------------------------------------- figures

# What is compared, and how it is called.


def throughput(fields):
    return fields["per_second"]


def duration(fields):
    return 1e6 * fields["seconds"] / fields["entries"]


def call_duration(fields):
    return 1e6 * fields["seconds"] / fields["operations"]


def wal(fields):
    return fields["wal_bytes"] / fields["entries"]


UNITS = {throughput: "entries/s", duration: "µs/entry", call_duration: "µs", wal: "bytes/entry"}


# ----------------------------------------------------------------- comparisons


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
    fixed: bool = False  # as many operations for both, since they make the stores larger
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
        return {"operations": bench.scale.batches}
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


# Comparisons of other kinds.


def compare_under_writers(bench, comparison):
    """Reads beside 64 clients that put."""
    bench.create_database("bench")
    bench.preload(comparison.a, bench.scale.space, {})
    how = {"space": bench.scale.space, "seconds": bench.scale.seconds}
    with bench.background(load(way="store", clients=64)):
        result = result_of(alternate(
            bench.scale.rounds,
            lambda: comparison.figure(bench.measure(comparison.a, **how)),
            lambda: comparison.figure(bench.measure(comparison.b, **how))))
    bench.drop_database("bench")
    return result


def compare_listeners(bench, comparison):
    """Putting with 50 listeners, by bench/wakeups."""
    del comparison
    bench.create_database("bench")
    rounds = bench.scale.rounds
    out = bench.run([bench.program("wakeups"), "--listeners", str(rounds), str(bench.scale.seconds),
                     "dbname=bench"])
    bench.drop_database("bench")
    pairs = [tuple(float(field) for field in line.split()) for line in out.splitlines()]
    if len(pairs) != rounds:
        raise Failure("wakeups has not told of each round")
    return result_of(pairs)


def compare_oldest(bench, comparison):
    """Reading the lowest number behind rows that are dead but can't be removed."""
    few = 1000
    bench.create_database("bench_fresh")
    fill_log(bench, few)
    bench.create_database("bench")
    fill_log(bench, bench.scale.pruned + few)
    with bench.old_snapshot():
        bench.sql(f"SELECT store_prune_batch_log({bench.scale.pruned + 1})")
        result = result_of(alternate(
            bench.scale.rounds,
            lambda: comparison.figure(bench.measure(comparison.a, seconds=bench.scale.seconds, database="bench")),
            lambda: comparison.figure(bench.measure(comparison.b, seconds=bench.scale.seconds,
                                                    database="bench_fresh"))))
    bench.drop_database("bench")
    bench.drop_database("bench_fresh")
    return result


def fill_log(bench, batches, function="store_put"):
    """Put single pairs, quickly: in one transaction."""
    bench.sql(f"SELECT count({function}(int8send(n), convert_to(repeat(md5(n::text), 3), 'UTF8')))"
              f" FROM generate_series(1, {batches}) AS n")


def compare_feed(bench, comparison):
    bench.create_database("bench")
    fill_log(bench, bench.scale.logged)
    fill_log(bench, bench.scale.logged, "put_unordered")
    bench.sql("VACUUM ANALYZE")
    result = result_of(alternate(
        bench.scale.rounds,
        lambda: comparison.figure(bench.measure(comparison.a, seconds=bench.scale.seconds)),
        lambda: comparison.figure(bench.measure(comparison.b, seconds=bench.scale.seconds))))
    bench.drop_database("bench")
    return result


def compare_prune(bench, comparison):
    """Taking the older half of a log away, which can be done once."""
    del comparison
    batches = bench.scale.logged
    pairs = []
    for turn in range(bench.scale.rounds):
        bench.create_database("bench")
        fill_log(bench, 2 * batches)
        fill_log(bench, 2 * batches, "put_unordered")
        steps = [f"SELECT store_prune_batch_log({batches + 1})", f"DELETE FROM rival_log WHERE number <= {batches}"]
        order = (0, 1) if turn % 2 == 0 else (1, 0)
        seconds = {step: bench.timed_sql(steps[step]) for step in order}
        pairs.append((1e6 * seconds[0] / batches, 1e6 * seconds[1] / batches))
    bench.drop_database("bench")
    return result_of(pairs)


def measure_retention(bench, comparison):
    """The log's size under load, by bench/retention."""
    del comparison
    scale = bench.scale
    bench.create_database("bench")
    out = bench.run([os.path.join(HERE, "retention"), "--within", bench.bindir, os.environ["PGHOST"], "bench",
                     str(scale.retention_seconds), str(scale.retention_keep)],
                    patience=scale.retention_seconds + PATIENCE)
    bench.drop_database("bench")
    samples = []
    for line in out.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0].isdigit():
            samples.append((int(cells[0]), float(cells[4])))
    bench.note(retention=samples)
    settled = [ratio for second, ratio in samples if second >= scale.retention_seconds / 3]
    if not settled:
        raise Failure("bench/retention has told nothing")
    return Result(settled), samples


def compare_sizes(bench, comparison):
    """Putting into stores of more and more keys, next to the smallest; each just after a checkpoint."""
    smallest = bench.scale.sizes[0]
    bench.create_database("bench_small")
    bench.preload(load(way="store"), smallest, {})
    kinds = {"put 1 new key": (load(way="store"), 1000),
             "put 1,000 existing keys": (load(way="store", keys="existing", batch=1000), 20)}
    points = {kind: [] for kind in kinds}
    result = None
    for size in bench.scale.sizes:
        say(f"    {size:,} keys")
        bench.create_database("bench")
        bench.preload(load(way="store"), size, {})
        for kind, (what, operations) in kinds.items():
            bench.sql("CHECKPOINT")
            pairs = alternate(
                bench.scale.rounds,
                functools.partial(size_figure, bench, what, operations, size, "bench"),
                functools.partial(size_figure, bench, what, operations, smallest, "bench_small"))
            found = result_of(pairs)
            points[kind].append((size, found))
            if kind == "put 1 new key":
                result = found
    bench.drop_database("bench")
    bench.drop_database("bench_small")
    del comparison
    return result, points


def size_figure(bench, what, operations, space, database):
    return call_duration(bench.measure(what, operations=operations, space=space, database=database))


def store(**options):
    return load(way="store", **options)


def by_space(scale):
    return scale.space


def by_read_space(scale):
    return scale.read_space


# The table, row by row.
GOALS = [
    Comparison("put-1-locked", "put 1, 32 clients, ordered", "PL/pgSQL, a lock held to commit", ">=", 6,
               store(clients=32), load(way="locked", clients=32)),
    Comparison("put-1-unordered", "put 1, 32 clients", "PL/pgSQL, unordered", ">=", 1.3,
               store(clients=32), load(way="unordered", clients=32)),
    Comparison("put-1-listeners", "put 1, 32 clients, 50 listeners", "the same without listeners", ">=", 0.95,
               special=compare_listeners),
    Comparison("put-1-alone", "put 1, 1 client", "PL/pgSQL, unordered", ">=", 1.5,
               store(), load(way="unordered")),
    Comparison("put-1000-random", "put 1,000 random new keys", "PL/pgSQL, unordered", ">=", 1.4,
               store(batch=1000), load(way="unordered", batch=1000), space=by_space, fixed=True),
    Comparison("put-1000-random-copy", "put 1,000 random new keys", "`COPY BINARY` into the bare table", ">=", 0.8,
               store(batch=1000), load(way="copy", batch=1000), space=by_space, fixed=True),
    Comparison("put-1000-ascending", "put 1,000 ascending new keys", "PL/pgSQL, unordered", ">=", 2.4,
               store(batch=1000, keys="ascending"), load(way="unordered", batch=1000, keys="ascending"),
               space=by_space, fixed=True),
    Comparison("put-1000-ascending-copy", "put 1,000 ascending new keys", "`COPY BINARY` into the bare table",
               ">=", 1.3, store(batch=1000, keys="ascending"), load(way="copy", batch=1000, keys="ascending"),
               space=by_space, fixed=True),
    Comparison("put-1000-existing", "put 1,000 existing keys", "PL/pgSQL, unordered", ">=", 1.3,
               store(batch=1000, keys="existing"), load(way="unordered", batch=1000, keys="existing"),
               space=by_space, fixed=True),
    Comparison("wal-1000", "WAL bytes per entry at 1,000", "PL/pgSQL, unordered", "<=", 0.80,
               store(batch=1000), load(way="unordered", batch=1000), wal, by_space, fixed=True),
    Comparison("get-1", "get, 1 client", "prepared `SELECT`", ">=", 1.0,
               store(work="get"), load(way="sql", work="get"), space=by_read_space, reads=True),
    Comparison("get-8", "get, 8 clients", "prepared `SELECT`", ">=", 1.0,
               store(work="get", clients=8), load(way="sql", work="get", clients=8), space=by_read_space, reads=True),
    Comparison("get-inside-spi", "10,000 gets inside one statement", "the same through SPI", ">=", 1.7,
               store(work="inside", batch=10000), load(way="spi", work="inside", batch=10000),
               space=by_read_space, reads=True),
    Comparison("get-inside-subselect", "10,000 gets inside one statement", "correlated subselect", ">=", 1.0,
               store(work="inside", batch=10000), load(way="sql", work="inside", batch=10000),
               space=by_read_space, reads=True),
    Comparison("get-many", "get_many of 1,000", "`= ANY($1)`", ">=", 1.15,
               store(work="get_many", batch=1000), load(way="sql", work="get_many", batch=1000),
               space=by_read_space, reads=True),
    Comparison("range-10k", "range of 10,000 rows, total time", "plain SQL", "<=", 1.0,
               store(work="range", limit=10000), load(way="sql", work="range", limit=10000), duration,
               by_read_space, reads=True),
    Comparison("range-all", "range of all rows (1 M; `--quick` 100 k), total time", "plain SQL", "<=", 1.0,
               store(work="scan"), load(way="sql", work="scan"), duration, by_read_space, reads=True),
    Comparison("range-first", "the first of these rows", "plain SQL cursor", "<=", 1.2,
               store(work="first"), load(way="sql", work="first"), call_duration, by_read_space, reads=True),
    Comparison("frontier-rest", "frontier read at rest", "point get", "<=", 1.0,
               store(work="frontier"), store(work="get"), call_duration, by_read_space, reads=True),
    Comparison("frontier-writers", "frontier read under 64 writers", "point get", "<=", 2.0,
               store(work="frontier"), store(work="get"), call_duration, special=compare_under_writers),
    Comparison("oldest-dead", "oldest_retained with 900 k dead rows (`--quick` 50 k) behind an old snapshot",
               "fresh table", "<=", 1.2, store(work="oldest"), store(work="oldest"), call_duration,
               special=compare_oldest),
    Comparison("log-heap", "log under 5,000 batches/s keeping 100 k (`--quick` 10 k), default autovacuum",
               "ideal size", "<=", 1.2, special=measure_retention, unit=""),
    Comparison("put-1-rocksdb", "put 1, 32 clients, durable", "RocksDB, synced, grouped", ">=", 1.2,
               store(clients=32), load("rocksdb", way="grouped", clients=32)),
    Comparison("put-1-rocksdb-mutex", "put 1, 32 clients, durable", "RocksDB, synced, mutex", ">=", 3,
               store(clients=32), load("rocksdb", way="mutex", clients=32)),
    Comparison("put-1000-rocksdb", "put 1,000 random, durable", "RocksDB, synced", ">=", 0.5,
               store(batch=1000), load("rocksdb", batch=1000), space=by_space, fixed=True),
    Comparison("put-1-etcd-8", "put 1, 8 clients, durable", "etcd", ">=", 3,
               store(clients=8), load("etcd", clients=8)),
    Comparison("put-1-etcd-64", "put 1, 64 clients, durable", "etcd", ">=", 1.7,
               store(clients=64), load("etcd", clients=64)),
    Comparison("put-size", "a put in the largest store (10^7 keys; `--quick` 10^5)", "in a store of 10^4", "<=", 2.0,
               figure=call_duration, special=compare_sizes),
]

# What nobody has promised.
OTHERS = [
    Comparison("put-1-statement", "put 1, 32 clients", "one statement without a function, unordered",
               a=store(clients=32), b=load(way="statement", clients=32)),
    Comparison("put-1-upsert", "put 1, 32 clients", "bare upsert, no log",
               a=store(clients=32), b=load(way="upsert", clients=32)),
    Comparison("put-1000-upsert", "put 1,000 random new keys", "bare upsert, no log",
               a=store(batch=1000), b=load(way="upsert", batch=1000), space=by_space, fixed=True),
    Comparison("put-1000-insert", "put 1,000 random new keys", "bare insert, no log",
               a=store(batch=1000), b=load(way="insert", batch=1000), space=by_space, fixed=True),
    Comparison("put-1000-sorted", "put 1,000 random new keys", "PL/pgSQL, unordered, pairs sorted",
               a=store(batch=1000), b=load(way="sorted", batch=1000), space=by_space, fixed=True),
    Comparison("put-1000-statement", "put 1,000 random new keys", "one statement without a function",
               a=store(batch=1000), b=load(way="statement", batch=1000), space=by_space, fixed=True),
    Comparison("put-1000-request", "put 1,000 random new keys, as one message", "as two arrays",
               a=load(way="request", batch=1000), b=store(batch=1000), space=by_space, fixed=True),
    Comparison("put-1-4k", "put 1 of 4 KiB, 32 clients", "PL/pgSQL, unordered",
               a=store(clients=32, value_bytes=4096), b=load(way="unordered", clients=32, value_bytes=4096)),
    Comparison("put-100-4k", "put 100 of 4 KiB, random new keys", "PL/pgSQL, unordered",
               a=store(batch=100, value_bytes=4096), b=load(way="unordered", batch=100, value_bytes=4096), fixed=True),
    Comparison("put-1-pipeline", "put 1, 1 client, 64 at once in a pipeline", "PL/pgSQL, unordered, the same",
               a=store(pipeline=64), b=load(way="unordered", pipeline=64)),
    Comparison("put-1-one-key", "put 1 of the same key, 8 clients", "PL/pgSQL, unordered",
               a=store(clients=8, keys="one"), b=load(way="unordered", clients=8, keys="one")),
    Comparison("get-pipeline", "get, 1 client, 64 at once in a pipeline", "prepared `SELECT`, the same",
               a=store(work="get", pipeline=64), b=load(way="sql", work="get", pipeline=64),
               space=by_read_space, reads=True),
    Comparison("range-25", "range of 25 rows", "plain SQL",
               a=store(work="range", limit=25), b=load(way="sql", work="range", limit=25), space=by_read_space,
               reads=True),
    Comparison("feed", "feed, 1,000 batches of 1 in a call", "`SELECT` from a log by hand",
               a=store(work="feed", limit=1000), b=load(way="unordered", work="feed", limit=1000),
               special=compare_feed),
    Comparison("prune", "prune the older half of a log, time", "`DELETE` from a log by hand", "<=",
               special=compare_prune, figure=duration),
    Comparison("put-1-redis", "put 1, 32 clients, durable", "Redis",
               a=store(clients=32), b=load("redis", clients=32)),
    Comparison("put-1000-redis", "put 1,000 random, durable", "Redis",
               a=store(batch=1000), b=load("redis", batch=1000), space=by_space, fixed=True),
    Comparison("put-1000-etcd", "put 1,000 random, durable", "etcd",
               a=store(batch=1000), b=load("etcd", batch=1000), space=by_space, fixed=True),
    Comparison("get-etcd", "get, 8 clients", "etcd",
               a=store(work="get", clients=8), b=load("etcd", work="get", clients=8), space=by_space),
    Comparison("get-redis", "get, 8 clients", "Redis",
               a=store(work="get", clients=8), b=load("redis", work="get", clients=8), space=by_space),
    Comparison("get-rocksdb", "get, 8 clients", "RocksDB, in the process",
               a=store(work="get", clients=8), b=load("rocksdb", work="get", clients=8), space=by_space),
]


# -------------------------------------------------------------------- matrices

# Stores, and the ways of ours, by what they are called in plots.
STORES = {
    "store": store(),
    "by hand, locked": load(way="locked"),
    "by hand, unordered": load(way="unordered"),
    "COPY": load(way="copy"),
    "RocksDB": load("rocksdb"),
    "etcd": load("etcd"),
    "Redis": load("redis"),
}


def sweep(report, bench, names, variations, space=None, how=None):
    """Run each of the stores under each of the variations, in turns; return {name: {variation: [fields]}}."""
    found = {name: collections.defaultdict(list) for name in names}
    for _ in range(bench.scale.points):
        for name in list(found):
            try:
                for variation, options in variations.items():
                    run_point(bench, STORES[name], found[name][variation], options, space, how)
            except (Failure, Missing, peers.Failure) as failure:
                report.leave_out(name, failure)
                if not any(found[name].values()):
                    del found[name]
    return found


def run_point(bench, what, found, options, space, how):
    what = what.with_options(**options)
    with bench.store_of(what) as where:
        more = {name: value for name, value in where.items() if name != "server"}
        if what.program == "pg":
            bench.create_database("bench")
        if space is not None:
            bench.preload(what, space, where)
            more["space"] = space
        found.append(bench.measure(what, **(how or {"seconds": bench.scale.seconds}), **more))


def middle(runs, figure):
    return statistics.median(figure(fields) for fields in runs)


def matrix_rows(found, variations, figure):
    return [[name, *(number(middle(runs[variation], figure)) if runs.get(variation) else ""
                     for variation in variations)] for name, runs in found.items()]


def matrix_points(found, variations, figure):
    return {name: [(variation, middle(runs[variation], figure)) for variation in variations if runs.get(variation)]
            for name, runs in found.items()}


def measure_clients(report, bench):
    counts = (1, 8, 32, 64)
    found = sweep(report, bench, ("store", "by hand, unordered", "by hand, locked", "RocksDB", "etcd", "Redis"),
                  {count: {"clients": count} for count in counts})
    text = ["Puts of one new pair a second, by clients:", "",
            table(["", *(str(count) for count in counts)], matrix_rows(found, counts, throughput)), "",
            "How long one takes (µs), p50 / p95 / p99:", ""]
    rows = [[name, *(" / ".join(number(middle(runs[count], lambda fields, p=p: fields[p]))
                                for p in ("p50_us", "p95_us", "p99_us")) if runs.get(count) else "" for count in counts)]
            for name, runs in found.items()]
    text.append(table(["", *(str(count) for count in counts)], rows))
    report.plot("puts-by-clients", "Puts of one pair", "clients", "puts a second",
                matrix_points(found, counts, throughput), log_x=True)
    report.plot("latency-by-clients", "How long a put takes", "clients", "milliseconds",
                {f"{name}, {p[:3]}": [(count, middle(runs[count], lambda fields, p=p: fields[p]) / 1000)
                                      for count in counts if runs.get(count)]
                 for name, runs in found.items() if name in ("store", "by hand, unordered")
                 for p in ("p50_us", "p95_us", "p99_us")}, log_x=True)
    return "\n".join(text)


def measure_batches(report, bench):
    sizes = (1, 10, 100, 1000, 10000)
    found = sweep(report, bench, ("store", "by hand, unordered", "COPY", "RocksDB"),
                  {size: {"batch": size, "warmup": 3} for size in sizes})
    report.plot("entries-by-batch", "Puts of new random keys, 1 client", "pairs of a put", "entries a second",
                matrix_points(found, sizes, throughput), log_x=True)
    return "\n".join(["Entries a second, 1 client, new random keys, by pairs of a put:", "",
                      table(["", *(f"{size:,}" for size in sizes)], matrix_rows(found, sizes, throughput))])


def measure_mixes(report, bench):
    mixes = ("read-heavy", "balanced", "write-heavy", "scan-heavy", "ingest-burst")
    common = {"work": "mix", "clients": 8, "batch": 100, "key_bytes": 48, "value_bytes": 160}
    found = sweep(report, bench, ("store", "by hand, unordered", "RocksDB", "etcd"),
                  {mix: common | {"mix": mix} for mix in mixes}, space=bench.scale.space)
    return "\n".join(["Operations a second of the reference's mixes (48-byte keys, 160-byte values, puts of 100"
                      " new pairs, ranges of 25, 8 clients):", "",
                      table(["", *mixes], matrix_rows(found, mixes, lambda f: f["operations"] / f["seconds"]))])


def relation_bytes(bench):
    """What the pairs' table, its index, and the log with all of its own take."""
    answer = bench.sql("SELECT concat_ws(' ', sum(pg_relation_size(kv::regclass)), sum(pg_indexes_size(kv::regclass)),"
                       " sum(pg_total_relation_size(log::regclass))) FROM (VALUES ('store_kv', 'store_batch_log'),"
                       " ('rival_kv', 'rival_log'), (NULL, 'rival_batch_log')) AS r (kv, log)")
    return [int(size) for size in answer.split()]


def measure_costs(report, bench):
    """What an entry costs each way; full-page images are left out, which depend on checkpoints."""
    del report
    rows = []
    bench.sql("ALTER SYSTEM SET full_page_writes = off", "postgres")
    bench.sql("SELECT pg_reload_conf()", "postgres")
    try:
        for batch, operations in ((1, 40 * bench.scale.batches), (1000, bench.scale.batches)):
            for way in ("store", "request", "locked", "unordered", "statement", "upsert", "insert", "copy"):
                rows.append(measure_cost(bench, way, batch, operations))
    finally:
        bench.sql("ALTER SYSTEM RESET full_page_writes", "postgres")
        bench.sql("SELECT pg_reload_conf()", "postgres")
    return "\n".join([
        "For each entry, 1 client, new random keys in a store of " f"{bench.scale.space:,}"
        ", `full_page_writes` off: WAL, CPU time of the backend, growth of the pairs' table, its index, and the log.",
        "", table(["pairs of a put", "way", "WAL bytes", "CPU µs", "table bytes", "index bytes", "log bytes"], rows)])


def measure_cost(bench, way, batch, operations):
    what = load(way=way, batch=batch)
    bench.create_database("bench")
    bench.preload(what, bench.scale.space, {})
    samples = []
    for _ in range(bench.scale.points):
        before = relation_bytes(bench)
        fields = bench.measure(what, operations=operations, warmup=0)
        growth = [after - size for after, size in zip(relation_bytes(bench), before)]
        samples.append([value / fields["entries"] for value in (fields["wal_bytes"], fields["cpu_us"], *growth)])
    return [f"{batch:,}", way, *(number(statistics.median(column)) for column in zip(*samples))]


MATRICES = {
    "clients": ("Clients", measure_clients),
    "batches": ("Pairs of a put", measure_batches),
    "costs": ("What an entry costs", measure_costs),
    "mixes": ("Mixes", measure_mixes),
}


# What is not for a first impression.
LONG = [comparison.name for comparison in OTHERS] + ["costs", "mixes"]


# ---------------------------------------------------------------------- report


def say(text):
    print(text, flush=True)


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip().splitlines()[0]
    except (OSError, IndexError):
        return "?"


def file_system(path):
    """Of a folder: the type and the device."""
    best = ("", "?", "?")
    with open("/proc/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            device, folder, kind = line.split()[:3]
            folder = folder.rstrip("/") + "/"
            if (path + "/").startswith(folder) and len(folder) >= len(best[0]):
                best = (folder, kind, device)
    if not best[0]:  # in a chroot, whose root is no mount
        return first_line(["stat", "--file-system", "--format=%T", path])
    return f"{best[1]} on {best[2]}"


def sync_time(folder):
    """How long it takes to have 8 kB that were overwritten on the disk, the median in µs."""
    path = os.path.join(folder, "sync-test")
    times = []
    with open(path, "wb", buffering=0) as file:
        file.write(bytes(1 << 20))
        os.fsync(file)
        for turn in range(200):
            begin = time.perf_counter()
            os.pwrite(file.fileno(), os.urandom(8192), turn % 128 * 8192)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begin)
    os.unlink(path)
    return 1e6 * statistics.median(times)


def describe_machine(area):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), os.uname().machine)
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(file.readline().split()[1]) / (1 << 20)
    load_average = os.getloadavg()[0]
    return [["cores", f"{len(os.sched_getaffinity(0))}, {model}"],
            ["memory", f"{memory:.1f} GB"],
            ["kernel", f"{os.uname().sysname} {os.uname().release}"],
            ["data on", f"{file_system(area)}; 8 kB written and synced in {sync_time(area):.0f} µs"],
            ["load before", f"{load_average:.2f}"]]


def describe_software(bench):
    rows = [["PostgreSQL", bench.sql("SELECT version()", "postgres")],
            ["settings changed", bench.sql(
                "SELECT string_agg(format('%s = %s', name, current_setting(name)), ', ' ORDER BY name) FROM pg_settings"
                " WHERE source = 'configuration file' AND name IN ('max_wal_size', 'shared_buffers', 'fsync',"
                " 'synchronous_commit', 'full_page_writes', 'wal_level', 'autovacuum', 'checkpoint_timeout')",
                "postgres")],
            ["storeengine", bench.sql("SELECT default_version FROM pg_available_extensions WHERE name = 'storeengine'",
                                      "postgres")]]
    if os.path.exists(os.path.join(HERE, "rocksdb")):
        slow = peers.has_assertions(os.path.join(HERE, "rocksdb"))
        rows.append(["RocksDB", "built with assertions: slower with large batches than it can be" if slow else
                     "built without assertions"])
    for name, command in (("etcd", ["etcd", "--version"]), ("redis", ["redis-server", "--version"])):
        if not peers.missing(name):
            rows.append([name, first_line(command)])
    return rows


class Report:
    """What is told in the end, and kept up to date meanwhile."""

    def __init__(self, output, bench, quick):
        self._output = output
        self._quick = quick
        self._about = []
        self._bench = bench
        self._goals = []
        self._others = []
        self._sections = []
        self._left_out = {}
        self._plots = []
        self._began = time.monotonic()

    def begin(self):
        self._about = describe_machine(self._bench.area) + describe_software(self._bench)

    def add(self, comparison, result):
        row = [comparison.work, comparison.against]
        if comparison.goal is not None:
            row.append(f"{'≥' if comparison.sense == '>=' else '≤'} {comparison.goal:g}×")
        row.append(f"{result.ratio:.2f}×")
        row.append(f"{min(result.ratios):.2f} to {max(result.ratios):.2f}")
        unit = comparison.units()
        row.append(f"{number(result.a)} / {number(result.b)} {unit}" if result.a is not None else "")
        if comparison.goal is not None:
            row.append(verdict(result, comparison.sense, comparison.goal))
        (self._others if comparison.goal is None else self._goals).append(row)
        self._bench.note(comparison=comparison.name, ratios=result.ratios, a=result.a, b=result.b, unit=unit,
                         sense=comparison.sense, goal=comparison.goal)
        return row[-1] if comparison.goal is not None else row[2]

    def add_section(self, title, text):
        self._sections.append((title, text))

    def leave_out(self, name, reason):
        say(f"    {name} is left out: {reason}")
        self._left_out[name] = str(reason).splitlines()[0] if str(reason) else type(reason).__name__

    def plot(self, name, *arguments, **options):
        if not plots.available():
            self.leave_out("plots", "gnuplot is not installed")
            return
        folder = os.path.join(self._output, "plots")
        os.makedirs(folder, exist_ok=True)
        plots.draw(os.path.join(folder, name + ".svg"), *arguments, **options)
        if name not in self._plots:
            self._plots.append(name)

    def text(self):
        minutes = (time.monotonic() - self._began) / 60
        parts = ["# Results of bench/run" + (" --quick" if self._quick else ""), "",
                 table(["", ""], self._about), "",
                 f"Measured in {minutes:.0f} minutes. Ratios are medians of {self._bench.scale.rounds} rounds in which"
                 " both took turns, with the lowest and the highest; figures are medians, too."]
        if self._goals:
            parts += ["", "## Goals", "",
                      table(["work", "against", "goal", "ratio", "spread", "figures", "verdict"], self._goals), "",
                      summary([row[-1] for row in self._goals])]
        if self._others:
            parts += ["", "## Further comparisons", "",
                      table(["work", "against", "ratio", "spread", "figures"], self._others)]
        for title, text in self._sections:
            parts += ["", f"## {title}", "", text]
        if self._plots:
            parts += ["", "## Plots", "", "\n".join(f"![{name}](plots/{name}.svg)" for name in self._plots)]
        if self._left_out:
            parts += ["", "## Left out", "",
                      "\n".join(f"- {name}: {reason}" for name, reason in self._left_out.items())]
        return "\n".join(parts) + "\n"

    def save(self):
        path = os.path.join(self._output, "results.md")
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(self.text())
        os.replace(path + ".new", path)


def tell_more(report, comparison, more):
    """Of comparisons that have more than a ratio to tell."""
    if comparison.name == "log-heap":
        report.add_section("The log's size", "While batches are put and pruned, as a ratio to that of the retained ones:\n\n"
                           + table(["seconds", "ratio"], [[str(second), f"{ratio:.2f}"] for second, ratio in more]))
        report.plot("log-size", "The log's size under 5,000 batches a second", "seconds", "times the ideal size",
                    {"log": more})
    elif comparison.name == "put-size":
        sizes = [size for size, _ in next(iter(more.values()))]
        rows = [[kind, *(f"{number(found.a)} ({found.ratio:.2f}×)" for _, found in points)]
                for kind, points in more.items()]
        report.add_section("A store that grows",
                           "How long a put takes (µs), 1 client, just after a checkpoint; in brackets, the ratio to the"
                           " smallest store:\n\n" + table(["", *(f"{size:,} keys" for size in sizes)], rows))
        report.plot("put-by-size", "A put in a store that grows", "keys", "times as long as in the smallest",
                    {kind: [(size, found.ratio) for size, found in points] for kind, points in more.items()}, log_x=True)


# ------------------------------------------------------------------------ main


def step_names():
    return [comparison.name for comparison in GOALS + OTHERS] + list(MATRICES)


def chosen(patterns, quick):
    """The names that are wanted."""
    names = step_names()
    if not patterns:
        return [name for name in names if not quick or name not in LONG]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            sys.exit(f"run: there is nothing called {pattern}; --list tells what there is")
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def take_step(report, bench, name):
    comparison = next((comparison for comparison in GOALS + OTHERS if comparison.name == name), None)
    if comparison is None:
        title, measure = MATRICES[name]
        say(f"==> {title}")
        report.add_section(title, measure(report, bench))
        bench.drop_database("bench")
        return
    say(f"==> {comparison.work} - {comparison.against}")
    result = compare(bench, comparison)
    more: Any = None
    if isinstance(result, tuple):
        result, more = result
    word = report.add(comparison, result)
    say(f"    {result.ratio:.2f}, {min(result.ratios):.2f} to {max(result.ratios):.2f}: {word}")
    if more is not None:
        tell_more(report, comparison, more)


def read_arguments():
    parser = argparse.ArgumentParser(prog="run")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[])
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--area", help=argparse.SUPPRESS)
    parser.add_argument("--bindir", help=argparse.SUPPRESS)
    return parser.parse_args()


def interrupted(*_):
    raise KeyboardInterrupt


def main():
    arguments = read_arguments()
    names = chosen(arguments.only, arguments.quick)
    if arguments.list:
        print("\n".join(step_names()))
    if arguments.list or arguments.check:
        return 0
    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)

    output = os.path.join(arguments.area, "output")
    bench = Bench(arguments.area, arguments.bindir, QUICK if arguments.quick else FULL)
    report = Report(output, bench, arguments.quick)
    status = 0
    try:
        report.begin()
        for name in names:
            began = time.monotonic()
            try:
                take_step(report, bench, name)
            except Missing as missing:
                report.leave_out(name, missing)
            except (Failure, peers.Failure, plots.Failure, OSError, ValueError, ArithmeticError) as failure:
                report.leave_out(name, failure)
                status = 1
            bench.note(step=name, took=time.monotonic() - began)
            report.save()
    except KeyboardInterrupt:
        status = 130
        report.leave_out("the rest", "interrupted")
    finally:
        bench.stop_all()
        report.save()
    print(report.text())
    return status


if __name__ == "__main__":
    sys.exit(main())
