"""Stores, and the ways of ours, under one condition after another."""

import collections
import statistics

import peers
from counts import measure_counts
from goals import store
from report import number, table
from rounds import throughput
from stage import Failure, Missing, load

# Stores, and the ways of ours, by what they are called in plots.
STORES = {
    "store": store(),
    "store, LISTEN": load(way="listen"),
    "by hand, locked": load(way="locked"),
    "by hand, NOTIFY": load(way="notify"),
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
                 for name, runs in found.items() if name in ("store", "by hand, unordered", "by hand, locked")
                 for p in ("p50_us", "p95_us", "p99_us")}, log_x=True, log_y=True, together=3)
    return "\n".join(text)


def measure_batches(report, bench):
    sizes = (1, 10, 100, 1000, 10000)
    found = sweep(report, bench, ("store", "by hand, unordered", "COPY", "RocksDB"),
                  {size: {"batch": size, "warmup": 3} for size in sizes})
    report.plot("entries-by-batch", "Puts of new random keys, 1 client", "pairs of a put", "entries a second",
                matrix_points(found, sizes, throughput), log_x=True, log_y=True)
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


def measure_subscribers(report, bench):
    rates = {"1 client, 100 puts/s": {"work": "follow", "clients": 1, "rate": 100},
             "8 clients, 500 puts/s": {"work": "follow", "clients": 8, "rate": 500}}
    found = sweep(report, bench, ("store", "store, LISTEN", "by hand, NOTIFY", "etcd", "Redis"), rates,
                  how={"seconds": 2 * bench.scale.seconds})
    parts = ["How long until a subscriber has the pair that was put (µs), p50 / p95 / p99. Ours calls"
             " `store_wait_for_sequence()` and `store_read_log()` in one round trip, or listens and reads; by hand, it"
             " listens and selects from a log, and writers hold a lock to commit; etcd's has a `Watch`, that of Redis is in"
             " `XREAD BLOCK`."]
    for since, what in (("begin", "Since the put was begun"), ("commit", "Since it returned, which can be later than"
                        " when the subscriber has it")):
        rows = [[name, *(" / ".join(number(middle(runs[rate], lambda fields, p=p: fields[f"heard_since_{since}_{p}_us"]))
                                    for p in ("p50", "p95", "p99")) if runs.get(rate) else "" for rate in rates)]
                for name, runs in found.items()]
        parts += ["", f"{what}:", "", table(["", *rates], rows)]
    return "\n".join(parts)


def relation_bytes(bench):
    """What the pairs' table, its index, and the log with all of its own take."""
    answer = bench.sql("SELECT concat_ws(' ', sum(pg_relation_size(kv::regclass)), sum(pg_indexes_size(kv::regclass)),"
                       " sum(pg_total_relation_size(log::regclass))) FROM (VALUES ('store_kv', 'store_batch_log'),"
                       " ('rival_kv', 'rival_log'), (NULL, 'rival_batch_log')) AS r (kv, log)")
    return [int(size) for size in answer.split()]


def measure_costs(_, bench):
    """What an entry costs each way; full-page images are left out, which depend on checkpoints."""
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
        ", `full_page_writes` off: WAL, CPU time of the backend and of the store's worker, growth of the pairs' table, its index, and the log.",
        "", table(["pairs of a put", "way", "WAL bytes", "CPU µs", "worker's", "table bytes", "index bytes", "log bytes"], rows)])


def measure_cost(bench, way, batch, operations):
    what = load(way=way, batch=batch)
    bench.create_database("bench")
    bench.preload(what, bench.scale.space, {})
    samples = []
    for _ in range(bench.scale.points):
        before = relation_bytes(bench)
        fields = bench.measure(what, operations=operations, warmup=0)
        growth = [after - size for after, size in zip(relation_bytes(bench), before)]
        samples.append([value / fields["entries"] for value in (fields["wal_bytes"], fields["cpu_us"],
                                                              fields["worker_cpu_us"], *growth)])
    return [f"{batch:,}", way, *(number(statistics.median(column)) for column in zip(*samples))]


MATRICES = {
    "clients": ("Clients", measure_clients),
    "batches": ("Pairs of a put", measure_batches),
    "subscribers": ("Subscribers", measure_subscribers),
    "costs": ("What an entry costs", measure_costs),
    "mixes": ("Mixes", measure_mixes),
    "counts": ("Instructions", measure_counts),
}
