"""What is compared with what: the goals, and more."""

import functools
import os
import re

from rounds import Comparison, Result, alternate, call_duration, cpu, duration, heard, result_of, wal
from stage import HERE, PATIENCE, Failure, load, say


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


def compare_listeners(bench, _):
    """Putting with 50 listeners, by bench/wakeups."""
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


def compare_prune(bench, _):
    """Taking the older half of a log away, which can be done once."""
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


def measure_retention(bench, _):
    """The log's size under load, by bench/retention."""
    scale = bench.scale
    bench.create_database("bench")
    out = bench.run([os.path.join(HERE, "retention"), "--within", bench.bindir, os.environ["PGHOST"], "bench",
                     str(scale.retention_seconds), str(scale.retention_keep)],
                    patience=scale.retention_seconds + PATIENCE)
    bench.drop_database("bench")
    rate = re.search(r"^([0-9]+) puts a second$", out, re.MULTILINE)
    if rate is None:
        raise Failure("bench/retention has not told how fast it put")
    samples = []
    for line in out.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0].isdigit():
            samples.append((int(cells[0]), float(cells[4])))
    bench.note(retention=samples, rate=int(rate.group(1)))
    settled = [ratio for second, ratio in samples if second >= scale.retention_seconds / 3]
    if not settled:
        raise Failure("bench/retention has told nothing")
    return Result(settled), (int(rate.group(1)), samples)


def compare_sizes(bench, _):
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
               store(batch=1000), load(way="unordered", batch=1000), space=by_space, fixed=1),
    Comparison("put-1000-random-copy", "put 1,000 random new keys", "`COPY BINARY` into the bare table", ">=", 0.8,
               store(batch=1000), load(way="copy", batch=1000), space=by_space, fixed=1),
    Comparison("put-1000-ascending", "put 1,000 ascending new keys", "PL/pgSQL, unordered", ">=", 2.4,
               store(batch=1000, keys="ascending"), load(way="unordered", batch=1000, keys="ascending"),
               space=by_space, fixed=1),
    Comparison("put-1000-ascending-copy", "put 1,000 ascending new keys", "`COPY BINARY` into the bare table",
               ">=", 1.3, store(batch=1000, keys="ascending"), load(way="copy", batch=1000, keys="ascending"),
               space=by_space, fixed=1),
    Comparison("put-1000-existing", "put 1,000 existing keys", "PL/pgSQL, unordered", ">=", 1.3,
               store(batch=1000, keys="existing"), load(way="unordered", batch=1000, keys="existing"),
               space=by_space, fixed=1),
    Comparison("wal-1000", "WAL bytes per entry at 1,000", "PL/pgSQL, unordered", "<=", 0.80,
               store(batch=1000), load(way="unordered", batch=1000), wal, by_space, fixed=1),
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
               store(batch=1000), load("rocksdb", batch=1000), space=by_space, fixed=1),
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
    Comparison("put-100-random", "put 100 random new keys", "PL/pgSQL, unordered",
               a=store(batch=100), b=load(way="unordered", batch=100), space=by_space, fixed=1),
    Comparison("put-100-locked", "put 100 random new keys, 8 clients, ordered", "PL/pgSQL, a lock held to commit",
               a=store(batch=100, clients=8), b=load(way="locked", batch=100, clients=8), space=by_space, fixed=8),
    Comparison("put-10000-random", "put 10,000 random new keys", "PL/pgSQL, unordered",
               a=store(batch=10000, warmup=1), b=load(way="unordered", batch=10000, warmup=1), space=by_space,
               fixed=0.1),
    Comparison("wal-1", "WAL bytes of a put of 1", "PL/pgSQL, unordered", "<=",
               a=store(), b=load(way="unordered"), figure=wal, space=by_space, fixed=20),
    Comparison("cpu-1", "CPU time of a put of 1, commit and protocol included", "PL/pgSQL, unordered", "<=",
               a=store(), b=load(way="unordered"), figure=cpu, space=by_space, fixed=20),
    Comparison("cpu-1000", "CPU time per entry at 1,000", "PL/pgSQL, unordered", "<=",
               a=store(batch=1000), b=load(way="unordered", batch=1000), figure=cpu, space=by_space, fixed=1),
    Comparison("put-1000-upsert", "put 1,000 random new keys", "bare upsert, no log",
               a=store(batch=1000), b=load(way="upsert", batch=1000), space=by_space, fixed=1),
    Comparison("put-1000-insert", "put 1,000 random new keys", "bare insert, no log",
               a=store(batch=1000), b=load(way="insert", batch=1000), space=by_space, fixed=1),
    Comparison("put-1000-sorted", "put 1,000 random new keys", "PL/pgSQL, unordered, pairs sorted",
               a=store(batch=1000), b=load(way="sorted", batch=1000), space=by_space, fixed=1),
    Comparison("put-1000-statement", "put 1,000 random new keys", "one statement without a function",
               a=store(batch=1000), b=load(way="statement", batch=1000), space=by_space, fixed=1),
    Comparison("put-1000-request", "put 1,000 random new keys, as one message", "as two arrays",
               a=load(way="request", batch=1000), b=store(batch=1000), space=by_space, fixed=1),
    Comparison("put-1-4k", "put 1 of 4 KiB, 32 clients", "PL/pgSQL, unordered",
               a=store(clients=32, value_bytes=4096), b=load(way="unordered", clients=32, value_bytes=4096)),
    Comparison("put-100-4k", "put 100 of 4 KiB, random new keys", "PL/pgSQL, unordered",
               a=store(batch=100, value_bytes=4096), b=load(way="unordered", batch=100, value_bytes=4096), fixed=1),
    Comparison("put-1-pipeline", "put 1, 1 client, 64 at once in a pipeline", "PL/pgSQL, unordered, the same",
               a=store(pipeline=64), b=load(way="unordered", pipeline=64)),
    Comparison("put-1-one-key", "put 1 of the same key, 8 clients", "PL/pgSQL, unordered",
               a=store(clients=8, keys="one"), b=load(way="unordered", clients=8, keys="one")),
    Comparison("get-pipeline", "get, 1 client, 64 at once in a pipeline", "prepared `SELECT`, the same",
               a=store(work="get", pipeline=64), b=load(way="sql", work="get", pipeline=64),
               space=by_read_space, reads=True),
    Comparison("get-many-ordered", "get_many of 1,000", "a join that returns a row for each key, in their order",
               a=store(work="get_many", batch=1000), b=load(way="ordered", work="get_many", batch=1000),
               space=by_read_space, reads=True),
    Comparison("range-25", "range of 25 rows", "plain SQL",
               a=store(work="range", limit=25), b=load(way="sql", work="range", limit=25), space=by_read_space,
               reads=True),
    Comparison("feed", "feed, 1,000 batches of 1 in a call", "`SELECT` from a log by hand",
               a=store(work="feed", limit=1000), b=load(way="unordered", work="feed", limit=1000),
               special=compare_feed),
    Comparison("prune", "prune the older half of a log, time", "`DELETE` from a log by hand", "<=",
               special=compare_prune, figure=duration),
    Comparison("follow-notify", "from the begin of a put until a subscriber has it, 8 clients, 500 puts/s",
               "a lock held to commit, `NOTIFY`, `SELECT`", "<=",
               a=store(work="follow", clients=8, rate=500), b=load(way="notify", work="follow", clients=8, rate=500),
               figure=heard),
    Comparison("follow-etcd", "from the begin of a put until a subscriber has it, 8 clients, 500 puts/s",
               "etcd, `Watch`", "<=", a=store(work="follow", clients=8, rate=500),
               b=load("etcd", work="follow", clients=8, rate=500), figure=heard),
    Comparison("put-1-redis", "put 1, 32 clients, durable", "Redis",
               a=store(clients=32), b=load("redis", clients=32)),
    Comparison("put-1000-redis", "put 1,000 random, durable", "Redis",
               a=store(batch=1000), b=load("redis", batch=1000), space=by_space, fixed=1),
    Comparison("put-1000-etcd", "put 1,000 random, durable", "etcd",
               a=store(batch=1000), b=load("etcd", batch=1000), space=by_space, fixed=1),
    Comparison("get-etcd", "get, 8 clients", "etcd",
               a=store(work="get", clients=8), b=load("etcd", work="get", clients=8), space=by_space),
    Comparison("range-25-etcd", "range of 25 rows, 8 clients", "etcd",
               a=store(work="range", limit=25, clients=8), b=load("etcd", work="range", limit=25, clients=8),
               space=by_space),
    Comparison("range-25-rocksdb", "range of 25 rows, 8 clients", "RocksDB, in the process",
               a=store(work="range", limit=25, clients=8), b=load("rocksdb", work="range", limit=25, clients=8),
               space=by_space),
    Comparison("get-redis", "get, 8 clients", "Redis",
               a=store(work="get", clients=8), b=load("redis", work="get", clients=8), space=by_space),
    Comparison("get-rocksdb", "get, 8 clients", "RocksDB, in the process",
               a=store(work="get", clients=8), b=load("rocksdb", work="get", clients=8), space=by_space),
]
