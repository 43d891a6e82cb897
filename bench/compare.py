#!/usr/bin/env python3
"""What bench/run does once a server is there: compare, tell, and plot."""

import argparse
import fnmatch
import os
import signal
import sys
import time

sys.dont_write_bytecode = True

import peers  # noqa: E402  (all of these are in this folder)
import plots  # noqa: E402
from goals import GOALS, OTHERS  # noqa: E402
from matrices import MATRICES  # noqa: E402
from report import Report, tell_more  # noqa: E402
from rounds import compare  # noqa: E402
from stage import FULL, QUICK, Bench, Failure, Missing, say  # noqa: E402

# What is not for a first impression; the log has no size of its own before autovacuum has run.
LONG = ["put-1-listeners", "put-1000-random-copy", "put-1000-ascending-copy", "get-inside-spi", "oldest-dead", "log-heap",
        "put-1-rocksdb-mutex", "put-1-etcd-64", "put-size",
        *(comparison.name for comparison in OTHERS if comparison.name != "follow-etcd"),
        "batches", "subscribers", "costs", "mixes", "counts"]


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
    more = None
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
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, signal.SIG_IGN)  # once is enough: what was started is being ended
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
    pid_file = os.path.join(arguments.area, "compare.pid")
    with open(pid_file, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")

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
        os.unlink(pid_file)
    print(report.text())
    return status


if __name__ == "__main__":
    sys.exit(main())
