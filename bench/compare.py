#!/usr/bin/env python3
"""Measure pairs of works in turns, and print the ratios.  bench/run calls this."""

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
import peers

# How the store is made anew before a comparison: with so many pairs in it, or as
# many in the table of the SQL written by hand.
EMPTY, SMALL, LARGE = 0, 100_000, 1_000_000


class Comparison:
    """Two works and the ratio that is wanted.

    A work is the arguments of bench/pg, or a peer's name and its program's.  The
    ratio is of rates, so that more is better, unless it is of something that is to
    be little: then `most` is the goal.
    """

    def __init__(self, name, ours, theirs, least=None, most=None, space=EMPTY, field="per_second",
                 peer=None, quick=True, prepare=None):
        self.name, self.ours, self.theirs = name, ours, theirs
        self.least, self.most, self.space, self.field = least, most, space, field
        self.peer, self.quick, self.prepare = peer, quick, prepare

    @property
    def goal(self):
        return f"≥ {self.least:g}" if self.most is None else f"≤ {self.most:g}"

    def reached(self, ratio):
        return ratio >= self.least if self.most is None else ratio <= self.most


def put(way, clients=1, batch=1, keys="random", more=""):
    return f"--way {way} --clients {clients} --batch {batch} --keys {keys} {more}"


def read(work, way, clients=1, batch=1, more=""):
    return f"--work {work} --way {way} --clients {clients} --batch {batch} {more}"


COMPARISONS = [
    Comparison("put 1, 32 clients / lock held to commit", put("store", 32), put("locked", 32), least=6),
    Comparison("put 1, 32 clients / unordered", put("store", 32), put("unordered", 32), least=1.3),
    Comparison("put 1, 1 client / unordered", put("store"), put("unordered"), least=1.5),
    Comparison("put 1, 8 clients / bare upsert", put("store", 8), put("upsert", 8), least=0.8, quick=False),
    Comparison("put 1, 8 clients, pipelined / one at a time", put("store", 8, more="--pipeline 16"), put("store", 8),
               least=1, quick=False),
    Comparison("put 100 random / unordered", put("store", 1, 100), put("unordered", 1, 100), least=1.3, quick=False),
    Comparison("put 1,000 random / unordered", put("store", 1, 1000), put("unordered", 1, 1000), least=1.4,
               space=LARGE),
    Comparison("put 1,000 random / COPY", put("store", 1, 1000), put("copy", 1, 1000), least=0.8, space=LARGE),
    Comparison("put 1,000 random, as a request / arrays", put("request", 1, 1000), put("store", 1, 1000),
               least=1, space=LARGE, quick=False),
    Comparison("put 1,000 ascending / unordered", put("store", 1, 1000, "ascending"),
               put("unordered", 1, 1000, "ascending"), least=2.4),
    Comparison("put 1,000 ascending / COPY", put("store", 1, 1000, "ascending"), put("copy", 1, 1000, "ascending"),
               least=1.3),
    Comparison("put 1,000 existing / unordered", put("store", 1, 1000, "existing"),
               put("unordered", 1, 1000, "existing"), least=1.3, space=SMALL),
    Comparison("put 10,000 random / unordered", put("store", 1, 10000), put("unordered", 1, 10000), least=1.4,
               space=LARGE, quick=False),
    Comparison("put 100 of 4 KiB / unordered", put("store", 1, 100, more="--value-bytes 4096"),
               put("unordered", 1, 100, more="--value-bytes 4096"), least=1, quick=False),
    Comparison("WAL of an entry, put 1,000 random / unordered", put("store", 1, 1000), put("unordered", 1, 1000),
               most=0.8, field="wal", space=LARGE),
    Comparison("WAL of an entry, put 1 / unordered", put("store", 8), put("unordered", 8), most=1, field="wal",
               quick=False),
    Comparison("CPU of an entry, put 1,000 random / unordered", put("store", 1, 1000), put("unordered", 1, 1000),
               most=0.8, field="cpu", space=LARGE, quick=False),
    Comparison("CPU of an entry, put 1 / unordered", put("store", 8), put("unordered", 8), most=1, field="cpu",
               quick=False),
    Comparison("get, 1 client / prepared SELECT", read("get", "store"), read("get", "sql"), least=1, space=SMALL),
    Comparison("get, 8 clients / prepared SELECT", read("get", "store", 8), read("get", "sql", 8), least=1,
               space=SMALL),
    Comparison("gets inside a statement / through SPI", read("inside", "store", 1, 10000),
               read("inside", "spi", 1, 10000), least=1.7, space=SMALL),
    Comparison("gets inside a statement / subselect", read("inside", "store", 1, 10000),
               read("inside", "sql", 1, 10000), least=1, space=SMALL),
    Comparison("get_many of 1,000 / = ANY", read("get_many", "store", 1, 1000), read("get_many", "sql", 1, 1000),
               least=1.15, space=SMALL),
    Comparison("range of 10,000, time / SELECT", read("range", "store", 1, 10000), read("range", "sql", 1, 10000),
               most=1, field="time", space=SMALL),
    Comparison("range of 1,000,000, time / SELECT", read("scan", "store"), read("scan", "sql"), most=1, field="time",
               space=LARGE),
    Comparison("first of 1,000,000 by a cursor, time / SELECT", read("first", "store"), read("first", "sql"),
               most=1.2, field="time", space=LARGE),
    Comparison("current sequence, time / get", read("frontier", "store"), read("get", "sql"), most=1, field="time",
               space=SMALL),
    Comparison("current sequence under 64 writers, time / get", read("frontier", "store"), read("get", "sql"), most=2,
               field="time", space=SMALL, prepare="writers", quick=False),
    Comparison("oldest retained, 900k pruned behind an old snapshot, time / fresh", read("oldest", "store"),
               read("oldest", "store"), most=1.2, field="time", prepare="pruned", quick=False),
    Comparison("put 1, 32 clients / RocksDB, grouped", put("store", 32), "--way grouped --clients 32", least=1.2,
               peer="rocksdb"),
    Comparison("put 1, 32 clients / RocksDB, mutex", put("store", 32), "--way mutex --clients 32", least=3,
               peer="rocksdb", quick=False),
    Comparison("put 1,000 random / RocksDB", put("store", 1, 1000), "--way grouped --batch 1000", least=0.5,
               peer="rocksdb"),
    Comparison("put 1, 8 clients / etcd", put("store", 8), "--clients 8", least=3, peer="etcd"),
    Comparison("put 1, 64 clients / etcd", put("store", 64), "--clients 64", least=1.7, peer="etcd", quick=False),
    Comparison("put 1, 32 clients / Redis", put("store", 32), "--clients 32", least=0.1, peer="redis", quick=False),
]


class Bench:
    """What all measurements need."""

    def __init__(self, options):
        self.options = options
        self.seconds = 1 if options.quick else 2
        self.rounds = 3 if options.quick else 5
        self.seed = 0

    def psql(self, *commands):
        arguments = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
        for command in commands:
            arguments += ["--file" if command.endswith(".sql") else "--command", command]
        return run(arguments + ["postgres"]).strip()

    def target(self):
        return f"host={os.environ['PGHOST']} port={os.environ['PGPORT']} user={os.environ['PGUSER']} dbname=postgres"

    def program(self, name):
        return os.path.join(self.options.programs, name)

    def load(self, program, target, arguments, *more):
        self.seed += 1
        line = run([self.program(program), "--target", target, "--seconds", str(self.seconds),
                    "--seed", str(self.seed), *arguments.split(), *more])
        return {name: float(value) for name, value in (field.split("=") for field in line.split())}

    def make_anew(self, space):
        self.psql("SET client_min_messages = warning", "DROP EXTENSION IF EXISTS storeengine CASCADE",
                  "DROP TABLE IF EXISTS rival_kv, rival_log CASCADE", "DROP SEQUENCE IF EXISTS rival_sequence",
                  "DROP FUNCTION IF EXISTS put_locked(bytea, bytea), put_locked(bytea[], bytea[]), "
                  "put_unordered(bytea, bytea), put_unordered(bytea[], bytea[]), get_by_spi(bytea)",
                  "CREATE EXTENSION storeengine", os.path.join(self.options.programs, "sql", "rivals.sql"))
        if space > 0:
            for way in ("store", "unordered"):
                self.load("pg", self.target(), f"--way {way} --load --space {space}")
            self.psql("VACUUM ANALYZE")
        self.psql("CHECKPOINT")

    def measure(self, comparison, work, peer_target=None):
        """Do some work for a while; return what the ratio is of."""
        if peer_target is not None:
            return self.load(comparison.peer, peer_target, work)["per_second"]
        space = ["--space", str(comparison.space or 1)]
        if comparison.field == "wal":
            self.psql("CHECKPOINT")
            before = self.psql("SELECT pg_current_wal_insert_lsn()")
            result = self.load("pg", self.target(), work, *space)
            return float(self.psql(f"SELECT pg_current_wal_insert_lsn() - '{before}'::pg_lsn")) / result["entries"]
        if comparison.field == "cpu":
            before = server_cpu()
            result = self.load("pg", self.target(), work, *space)
            return (server_cpu() - before) / result["entries"]
        result = self.load("pg", self.target(), work, *space)
        return result["seconds"] / result["entries"] if comparison.field == "time" else result["per_second"]

    def compare(self, comparison):
        """Return what was measured: pairs of ours and theirs."""
        self.make_anew(comparison.space)
        with start_peer(comparison.peer, os.path.join(self.options.data, "peer")) as peer:
            results = []
            for turn in range(self.rounds):
                pair = {}
                for side in ("ours", "theirs") if turn % 2 == 0 else ("theirs", "ours"):
                    target = peer.target if side == "theirs" and peer is not None else None
                    with prepared(self, comparison, side):
                        pair[side] = self.measure(comparison, getattr(comparison, side), target)
                results.append(pair)
        return results


def run(arguments):
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise peers.Failure((done.stderr.strip() or done.stdout.strip()).replace("\n", " "))
    return done.stdout


def server_cpu():
    """The microseconds that the children of the postmaster have used, those that ended included."""
    with open(os.path.join(os.environ["PGDATA"], "postmaster.pid"), encoding="ascii") as file:
        fields = stat_of(int(file.readline()))
    ticks = sum(int(field) for field in fields[13:15])  # cutime, cstime: reaped ones
    return ticks * 1e6 / os.sysconf("SC_CLK_TCK")


def stat_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rsplit(")", 1)[1].split()


class Nothing:
    """Stands for a peer that is not needed, or for preparations."""

    def __enter__(self):
        return None

    def __exit__(self, *_):
        pass


class Directory:
    """A peer that is a library: its target is a folder."""

    def __init__(self, folder):
        self.target = folder

    def __enter__(self):
        shutil.rmtree(self.target, ignore_errors=True)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.target, ignore_errors=True)


def start_peer(name, folder):
    if name is None:
        return Nothing()
    if name == "rocksdb":
        return Directory(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return peers.start_etcd(folder) if name == "etcd" else peers.start_redis(folder)


class Writers:
    """64 clients that put all the time."""

    def __init__(self, bench):
        self.process = subprocess.Popen(
            [bench.program("pg"), "--target", bench.target(), "--clients", "64", "--seconds", str(bench.seconds + 2)],
            stdout=subprocess.DEVNULL)

    def __enter__(self):
        pass

    def __exit__(self, *_):
        self.process.wait()


class Pruned:
    """A log of which 900,000 batches have been pruned that an old snapshot still sees; or a fresh one."""

    def __init__(self, bench, old):
        self.holder = None
        bench.make_anew(EMPTY)
        if old:
            bench.psql("INSERT INTO store_batch_log SELECT i, i - 1, now(), '' FROM generate_series(1, 1000000) AS i",
                       "SELECT setval('store_sequence', 1000000)", "SELECT store_put('k', '')")
            self.holder = subprocess.Popen(["psql", "--no-psqlrc", "--quiet", "postgres"], stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, text=True)
            self.holder.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT store_current_sequence();\n")
            self.holder.stdin.flush()
            while "1 row" not in self.holder.stdout.readline():
                pass
            bench.psql("SELECT store_prune_batch_log(900000)")
        else:
            bench.psql("SELECT store_put('k', '')")

    def __enter__(self):
        pass

    def __exit__(self, *_):
        if self.holder is not None:
            self.holder.communicate("ROLLBACK;\n")


def prepared(bench, comparison, side):
    if comparison.prepare == "writers" and side == "ours":
        return Writers(bench)
    if comparison.prepare == "pruned":
        return Pruned(bench, side == "ours")
    return Nothing()


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine(bench):
    """Say where it was measured."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = int(file.readline().split()[1]) / 1024 / 1024
    disk = run(["stat", "--file-system", "--format=%T", bench.options.data]).strip()
    return (f"{os.cpu_count()} × {model.group(1) if model else platform.machine()}, {memory:.0f} GiB, "
            f"Linux {platform.release()}, {disk}; {bench.psql('SHOW server_version')} with "
            f"{bench.options.settings}; {bench.rounds} rounds of {bench.seconds} s.")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--output")
    parser.add_argument("--programs", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    parser.add_argument("--settings", help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen = [c for c in COMPARISONS if options.only in c.name and (c.quick or not options.quick)]
    if options.list:
        print("\n".join(f"{c.name}: {c.goal}" for c in chosen))
        return 0

    os.environ["PGDATA"] = os.path.join(options.data, "data")
    bench = Bench(options)
    output = [open(options.output, "w", encoding="utf-8")] if options.output else []

    def say(line):
        for file in [sys.stdout, *output]:
            print(line, file=file, flush=True)

    say(machine(bench) + "\n")
    if os.path.exists(bench.program("rocksdb")) and peers.has_assertions(bench.program("rocksdb")):
        say("This RocksDB was built with assertions, which make its large batches slower: see bench/README.md.\n")
    say("| work / against | goal | ratio | lowest–highest | ours | theirs | |\n|---|--:|--:|--:|--:|--:|---|")
    for comparison in chosen:
        if comparison.peer is not None and (
                not os.path.exists(bench.program(comparison.peer)) or
                (comparison.peer != "rocksdb" and peers.missing(comparison.peer))):
            say(f"| {comparison.name} | {comparison.goal} | | | | | not installed |")
            continue
        try:
            pairs = bench.compare(comparison)
        except peers.Failure as failure:
            say(f"| {comparison.name} | {comparison.goal} | | | | | failed: {failure} |")
            continue
        ratios = [pair["ours"] / pair["theirs"] for pair in pairs]
        ratio = statistics.median(ratios)
        say(f"| {comparison.name} | {comparison.goal} | {ratio:.2f} | {min(ratios):.2f}–{max(ratios):.2f} "
            f"| {number(statistics.median(p['ours'] for p in pairs))} "
            f"| {number(statistics.median(p['theirs'] for p in pairs))} "
            f"| {'' if comparison.reached(ratio) else 'not reached'} |")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
