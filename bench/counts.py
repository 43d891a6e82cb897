"""Instructions of a backend for each call, which noise does not change.

A server of its own runs in valgrind's callgrind.  Before the operations, and after
them, the load has its backend call a function at which callgrind writes down what it
has counted and begins anew; so what connecting, preparing and warming up take is left
out.  What the kernel does is not counted, nor are other processes.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time

from goals import fill_log, store
from report import number, table
from stage import Failure, Missing, load

MARK = "pg_backend_pid"  # the function
SEED = 77  # of what reads, so that all read the same
SETTINGS = """
listen_addresses = ''
shared_preload_libraries = 'storeengine'
shared_buffers = 512MB
max_wal_size = 8GB
checkpoint_timeout = 1d
autovacuum = off
fsync = off
"""

# What is counted: the work, ours, what is against it, and how many operations.  Puts
# come last, since they make the stores larger.
COUNTED = [
    ("get", store(work="get"), {"prepared `SELECT`": load(way="sql", work="get")}, 200),
    ("1,000 gets inside one statement", store(work="inside", batch=1000),
     {"correlated subselect": load(way="sql", work="inside", batch=1000),
      "the same through SPI": load(way="spi", work="inside", batch=1000)}, 4),
    ("get_many of 1,000", store(work="get_many", batch=1000),
     {"`= ANY($1)`, in no order": load(way="sql", work="get_many", batch=1000),
      "a join, in the keys' order": load(way="ordered", work="get_many", batch=1000)}, 4),
    ("range of 25 rows", store(work="range", limit=25),
     {"plain SQL": load(way="sql", work="range", limit=25)}, 50),
    ("range of 10,000 rows", store(work="range", limit=10000),
     {"plain SQL": load(way="sql", work="range", limit=10000)}, 4),
    ("frontier", store(work="frontier"), {"`max` of a log by hand": load(way="unordered", work="frontier")}, 200),
    ("oldest", store(work="oldest"), {"`min` of a log by hand": load(way="unordered", work="oldest")}, 200),
    ("feed, 1,000 batches of 1", store(work="feed", limit=1000),
     {"`SELECT` from a log by hand": load(way="unordered", work="feed", limit=1000)}, 10),
    ("put 1 new key", store(), {"PL/pgSQL, unordered": load(way="unordered"),
                                "one statement, unordered": load(way="statement")}, 100),
    ("put 1,000 random new keys", store(batch=1000),
     {"PL/pgSQL, unordered": load(way="unordered", batch=1000), "`COPY BINARY`": load(way="copy", batch=1000)}, 4),
    ("put 1,000 ascending new keys", store(batch=1000, keys="ascending"),
     {"PL/pgSQL, unordered": load(way="unordered", batch=1000, keys="ascending")}, 4),
    ("put 1,000 existing keys", store(batch=1000, keys="existing"),
     {"PL/pgSQL, unordered": load(way="unordered", batch=1000, keys="existing")}, 4),
]


def total(path):
    """What callgrind has counted, as it has written it to a file."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("totals:"):
                return int(line.split()[1])
    raise Failure(f"callgrind has not told how much it has counted in {path}")


class Counter:
    """A server whose processes are counted."""

    def __init__(self, bench):
        self._bench = bench
        self._folder = os.path.join(bench.area, "counts")
        self._data = os.path.join(self._folder, "data")

    def create(self):
        os.mkdir(self._folder)
        self._bench.run([self._program("initdb"), f"--pgdata={self._data}", "--no-sync", "--username=postgres",
                         "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"])
        with open(os.path.join(self._data, "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write(f"{SETTINGS}unix_socket_directories = '{os.environ['PGHOST']}'\n")

    def remove(self):
        shutil.rmtree(self._folder, ignore_errors=True)

    def _program(self, name):
        return os.path.join(self._bench.bindir, name)

    @contextlib.contextmanager
    def running(self, *wrapper):
        """Have the server run, in a program if one is given; it is the one that is talked to."""
        port = os.environ["PGPORT"]
        os.environ["PGPORT"] = str(int(port) + 1)  # in the name of a socket
        try:
            with open(os.path.join(self._folder, "server.log"), "ab") as log:
                process = self._bench.start([*wrapper, self._program("postgres"), "-D", self._data,
                                             "-p", os.environ["PGPORT"]], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
            try:
                self._await(process)
                yield
            finally:
                process.send_signal(signal.SIGQUIT if wrapper else signal.SIGINT)  # in callgrind a checkpoint takes seconds
                self._bench.stop(process)
        finally:
            os.environ["PGPORT"] = port

    def counting(self):
        return self.running("valgrind", "--quiet", "--tool=callgrind", f"--dump-before={MARK}",
                            f"--callgrind-out-file={self._folder}/callgrind.%p")

    def _await(self, process):
        end = time.monotonic() + 120
        while subprocess.run([self._program("pg_isready"), "--quiet"], check=False).returncode != 0:
            if process.poll() is not None or time.monotonic() > end:
                raise Failure("the server that is counted did not start")
            time.sleep(0.2)

    def per_call(self, what, operations):
        """How many instructions an operation takes."""
        more = {} if dict(what.options).get("work", "put") == "put" else {"seed": SEED}
        fields = self._bench.measure(what, operations=operations, space=self._bench.scale.space, mark=True, **more)
        file = os.path.join(self._folder, f"callgrind.{fields['backend']:.0f}")
        # 1 is what came before, 2 what marking takes.
        return (total(f"{file}.3") - total(f"{file}.2")) / operations


def fill(bench):
    """Have both with the same pairs, and logs of single pairs."""
    bench.create_database("bench")
    for way in ("store", "unordered"):
        bench.preload(load(way=way), bench.scale.space, {})
    # The log by hand has the batches in another table.
    bench.sql("SELECT store_prune_batch_log(store_current_sequence() + 1)")
    fill_log(bench, 10000)
    fill_log(bench, 10000, "put_unordered")
    bench.sql("VACUUM ANALYZE")


def warm_up(bench):
    """Have all pages in shared buffers: to read them would be counted for whoever comes first."""
    bench.sql("CREATE EXTENSION pg_prewarm; SELECT sum(pg_prewarm(oid)) FROM pg_class"
              " WHERE relkind IN ('r', 'i', 't') AND relname ~ '^(store_|rival_|pg_toast)'")


def measure_counts(_, bench):
    """Each work and its rivals."""
    if shutil.which("valgrind") is None:
        raise Missing("valgrind is not installed")
    counter = Counter(bench)
    rows = []
    counter.create()
    try:
        with counter.running():
            fill(bench)
        with counter.counting():
            warm_up(bench)
            for work, ours, rivals, operations in COUNTED:
                rows += count(bench, counter, work, ours, rivals, operations)
    finally:
        counter.remove()
        bench.database = "postgres"
    return "\n".join([
        f"What a backend executes for one call, in thousands of instructions, counted by callgrind: protocol, parameters and"
        f" commit included, the kernel and other processes not. 1 client, stores of {bench.scale.space:,} keys.", "",
        table(["work", "against", "store", "against it", "ratio"], rows)])


def count(bench, counter, work, ours, rivals, operations):
    """The rows of the table for one work."""
    rows = []
    mine = counter.per_call(ours, operations)
    for name, rival in rivals.items():
        other = counter.per_call(rival, operations)
        bench.note(counted=work, against=name, a=mine, b=other, ratio=mine / other)
        rows.append([work, name, number(mine / 1000), number(other / 1000), f"{mine / other:.2f}×"])
    return rows
