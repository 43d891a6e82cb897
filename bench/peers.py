#!/usr/bin/env python3
"""Private servers of the stores that the benchmarks are compared with.

    bench/peers.py etcd|redis FOLDER [--stock]

starts a server with its data below FOLDER, says the target for bench/etcd or
bench/redis, and stops it when interrupted.  As a module:

    with peers.start_etcd(folder) as server:
        run(["bench/etcd", "--target", server.target, ...])

The folder decides which disk is measured: it should be on PostgreSQL's.  It is
made if need be, and left there.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE = 60  # seconds for a server to start or to stop


class Failure(Exception):
    """A server did not do what it should."""


class Server:
    """A running server; it is stopped when the with block ends."""

    def __init__(self, name, command, folder, target, is_ready, scratch=None):
        self.name = name
        self.target = target
        self.log = os.path.join(folder, "server.log")
        self._command = command
        self._folder = folder
        self._is_ready = is_ready
        self._scratch = scratch  # a folder to remove in the end
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self):
        return self.process.pid

    def _start(self):
        self.process = None
        with open(self.log, "ab") as log:
            # An interrupt at the terminal is for who started us: we are stopped.
            self.process = subprocess.Popen(
                self._command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        end = time.monotonic() + PATIENCE
        while not self._is_ready():
            if self.process.poll() is not None:
                raise Failure(f"{self.name} did not start:\n{self.last_words()}")
            if time.monotonic() > end:
                raise Failure(f"{self.name} was not ready in {PATIENCE} s:\n{self.last_words()}")
            time.sleep(0.05)

    def last_words(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-20:])

    def _end(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def restart(self):
        """Stop and start, with the same data and target.

        To be done between a load and reads: etcd 3.4 copies for each read a buffer
        that stays as large as its fullest moment was, for as long as it runs.
        """
        self._end()
        self._start()

    def stop(self):
        self._end()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()


def has_assertions(program):
    """Whether the RocksDB that bench/rocksdb is linked with checks itself all along.

    Debian's was built with assertions, which cost up to a third of its speed with
    large batches.  A build without them lacks what tests hook into.
    """
    lines = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for word in lines.split():
        if word.startswith("/") and "librocksdb" in word:
            with open(word, "rb") as library:
                return b"SyncPoint11GetInstance" in library.read()
    raise Failure(f"{program} is not linked with a librocksdb")


def missing(name):
    """What of etcd or redis is not installed, or None."""
    program = {"etcd": "etcd", "redis": "redis-server"}[name]
    return None if shutil.which(program) else program


def answers(family, address, question, answer):
    """Whether a server answers a question so."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            connection.connect(address)
            connection.sendall(question)
            return answer in connection.recv(4096)
    except OSError:
        return False


def free_ports(count):
    """Ports of the loopback interface that nobody listens on."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


def start_etcd(folder, stock=False):
    """Start one etcd member, which syncs each write, as by default.

    Only how large a Txn, a request and the database may be is raised, unless stock
    is true: a batch of 10,000 entries must be as atomic as ours (bench/etcd --way
    split is for a stock server).
    """
    folder = os.path.abspath(folder)
    os.makedirs(folder, exist_ok=True)
    client, peer = free_ports(2)
    command = [
        "etcd", "--name", "bench", "--data-dir", os.path.join(folder, "data"),
        "--listen-client-urls", f"http://127.0.0.1:{client}",
        "--advertise-client-urls", f"http://127.0.0.1:{client}",
        "--listen-peer-urls", f"http://127.0.0.1:{peer}",
        "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
        "--initial-cluster", f"bench=http://127.0.0.1:{peer}",
        "--logger", "zap", "--log-level", "warn"]
    if not stock:
        command += ["--max-txn-ops", "1000000", "--max-request-bytes", str(256 << 20)]
    command += ["--quota-backend-bytes", str(8 << 30)]
    question = b"GET /health HTTP/1.0\r\n\r\n"
    return Server("etcd", command, folder, f"127.0.0.1:{client}",
                  lambda: answers(socket.AF_INET, ("127.0.0.1", client), question, b'"health":"true"'))


def start_redis(folder):
    """Start a Redis that has synced each write before it answers.

    It keeps an append-only file and takes no snapshots besides.  Clients come by a
    socket, as PostgreSQL's do.
    """
    folder = os.path.abspath(folder)
    os.makedirs(folder, exist_ok=True)
    scratch = tempfile.mkdtemp(prefix="storeengine-redis-")  # a socket's name must be short
    address = os.path.join(scratch, "socket")
    command = [
        "redis-server", "--port", "0", "--unixsocket", address, "--dir", folder,
        "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    return Server("redis", command, folder, address,
                  lambda: answers(socket.AF_UNIX, address, b"PING\r\n", b"+PONG"), scratch)


def main(arguments):
    stock = "--stock" in arguments
    arguments = [argument for argument in arguments if argument != "--stock"]
    if len(arguments) != 2 or arguments[0] not in ("etcd", "redis") or (stock and arguments[0] != "etcd"):
        sys.exit("usage: peers.py etcd|redis FOLDER [--stock]   (--stock: etcd's own limits)")
    name, folder = arguments
    if missing(name):
        sys.exit(f"peers.py: {missing(name)} is not installed")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with start_etcd(folder, stock) if name == "etcd" else start_redis(folder) as server:
            print(f"--target {server.target}   (pid {server.pid})", flush=True)
            server.process.wait()
            sys.exit(f"peers.py: {name} has ended:\n{server.last_words()}")
    except Failure as failure:
        sys.exit(f"peers.py: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main(sys.argv[1:])
