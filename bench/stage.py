"""What measuring takes: a server, the load programs, and other stores."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import time

import peers

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 600  # seconds for what should take a few


class Failure(Exception):
    """Something could not be measured."""


class Missing(Exception):
    """What would be measured is not installed."""


def say(text):
    print(text, flush=True)


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


FULL = Scale(rounds=5, seconds=1.0, batches=100, space=100_000, read_space=1_000_000, logged=100_000,
             pruned=900_000, sizes=(10_000, 100_000, 1_000_000, 10_000_000),
             retention_seconds=240, retention_keep=100_000, points=3)
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
