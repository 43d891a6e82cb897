"""What is told in the end: tables in Markdown, verdicts, and where it was measured."""

import os
import re
import statistics
import subprocess
import time

import peers
import plots
from stage import HERE, say


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

    >>> from rounds import Result
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
        return row[-1] if comparison.goal is not None else "no goal"

    def add_section(self, title, text):
        self._sections.append((title, text))

    def leave_out(self, name, reason):
        reason = str(reason) or type(reason).__name__
        say(f"    {name} is left out: {reason[:1000]}")
        self._left_out[name] = reason.splitlines()[0]

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
        rate, samples = more
        report.add_section("The log's size", f"While {rate:,} batches a second are put and the log is pruned (of 5,000 that"
                           " were wanted), as a ratio to that of the retained ones:\n\n"
                           + table(["seconds", "ratio"], [[str(second), f"{ratio:.2f}"] for second, ratio in samples]))
        report.plot("log-size", "The log's size under 5,000 batches a second", "seconds", "times the ideal size",
                    {"log": samples})
    elif comparison.name == "put-size":
        sizes = [size for size, _ in next(iter(more.values()))]
        rows = [[kind, *(f"{number(found.a)} ({found.ratio:.2f}×)" for _, found in points)]
                for kind, points in more.items()]
        report.add_section("A store that grows",
                           "How long a put takes (µs), 1 client, just after a checkpoint; in brackets, the ratio to the"
                           " smallest store:\n\n" + table(["", *(f"{size:,} keys" for size in sizes)], rows))
        report.plot("put-by-size", "A put in a store that grows", "keys", "times as long as in the smallest",
                    {kind: [(size, found.ratio) for size, found in points] for kind, points in more.items()}, log_x=True)
