"""Plots as small SVG files, by gnuplot."""

import os
import shutil
import subprocess

# Colours that differ in brightness, too.
COLOURS = ("#1f4e9c", "#d1495b", "#3a9a5c", "#e0a030", "#7d5ba6", "#555555")


class Failure(Exception):
    """gnuplot did not draw."""


def available():
    return shutil.which("gnuplot") is not None


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def draw(path, title, x_label, y_label, series, log_x=False, log_y=False, together=1):
    """Draw lines through points: series is {label: [(x, y), ...]}; so many that follow each other share a colour."""
    lines = [
        "set terminal svg size 640,440 dynamic font 'sans-serif,13' background '#ffffff'",
        f"set output {quote(path)}",
        f"set title {quote(title)} noenhanced",
        f"set xlabel {quote(x_label)} noenhanced",
        f"set ylabel {quote(y_label)} noenhanced",
        "set key below Left reverse noenhanced",
        "set border 3 lc rgb '#888888'",
        "set tics nomirror textcolor rgb '#000000'",
        "set grid ytics lt 1 lc rgb '#dddddd'",
        "set format y '%.10g'",
        "set format x '%.10g'",
        "set yrange [0:*]"]
    places = sorted({x for points in series.values() for x, _ in points})
    if log_x:
        lines += ["set logscale x", f"set xrange [{places[0] * 0.9}:{places[-1] * 1.1}]"]
        if len(places) <= 8:
            lines.append("set xtics (" + ", ".join(f"{quote(f'{x:,}')} {x}" for x in places) + ")")
    if log_y:
        lines += ["set logscale y", "set yrange [*:*]"]
    for number, points in enumerate(series.values()):
        lines.append(f"$data{number} << END")
        lines += [f"{x} {y:.6g}" for x, y in points]
        lines.append("END")
    lines.append("plot " + ", ".join(
        f"$data{number} with linespoints title {quote(label)}"
        f" lc rgb '{COLOURS[number // together % len(COLOURS)]}' lw 2 dashtype {number % together + 1} pt 7 ps 0.5"
        for number, label in enumerate(series)))
    done = subprocess.run(["gnuplot"], input="\n".join(lines) + "\n", text=True, capture_output=True, check=False)
    if done.returncode != 0 or not os.path.exists(path):
        raise Failure(f"gnuplot failed: {done.stderr.strip()}")
