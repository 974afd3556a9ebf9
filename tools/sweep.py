"""Runs over a grid of settings, on this machine or a cluster, gathered in one table and one figure.

    python tools/sweep.py runs/sweep layer=mixed3a,mixed3b k=8,16 seed=0,1 -- --only 01 02
    python tools/sweep.py runs/sweep weights=demo,bvlc_googlenet group=D8,D16 --cluster slurm \\
        --at-once 20 --option slurm_partition=gpu --option gpus_per_node=1 -- --preset real

Each combination is a run folder below the first argument; what follows `--` goes to every
`python -m gc_utils run`. The same command again runs what is not finished and gathers anew. Jobs
are submitit's (the extra `sweep`): its logs are in `jobs/`. Table and figure: `sweep.csv`, `.png`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import submitit

from gc_utils.evidence import load_findings
from gc_utils.figures.style import SMALL, WIDTH, style


def execute(runs: list[tuple[str, list[str]]]) -> None:
    """A job: the runs `(folder, arguments)`, one after the other; one that fails stops no other."""
    for folder, arguments in runs:
        command = [sys.executable, "-m", "gc_utils", "run", "--output", folder, *arguments]
        with open(f"{folder}.log", "w", encoding="utf-8") as log:
            ended = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT)
        if ended.returncode == 0:
            Path(f"{folder}.done").write_text(json.dumps(arguments), encoding="utf-8")


def finished(folder: Path, arguments: list[str]) -> bool:
    """Whether this very run has ended well."""
    done = Path(f"{folder}.done")
    asked = (folder / "run.json").exists() and done.exists()
    return asked and json.loads(done.read_text("utf-8")) == arguments


def gathered(folder: Path) -> dict[str, float | str]:
    """The numbers and verdicts of a run, and what it took."""
    ran = json.loads((folder / "run.json").read_text("utf-8"))["notebooks"].values()
    row = {"seconds": sum(r["seconds"] for r in ran)}
    row["peak_memory_mb"] = max(r["peak_memory_mb"] for r in ran)
    for found in load_findings(folder):
        numbers = {k: v for k, v in found["value"].items() if isinstance(v, int | float)}
        row |= {f"{found['id']}: {name}": value for name, value in numbers.items()}
        row[f"{found['id']}: verdict"] = found["verdict"]
    return row


def draw(table: pd.DataFrame, grid: dict[str, list[str]], shown: list[str], path: Path) -> None:
    """A panel a number: over the first setting that varies, a line for the others, a dot a run."""
    varied = [n for n, values in grid.items() if len(values) > 1 and n != "seed"] or list(grid)[:1]
    x, others = varied[0], varied[1:]
    with style():
        size = (WIDTH, 3.0 * -(-len(shown) // 2) + 0.4)
        figure, axes = plt.subplots(-(-len(shown) // 2), 2, figsize=size, layout="constrained")
        for ax in axes.flat[len(shown) :]:
            ax.remove()
        for ax, name in zip(axes.flat, shown, strict=False):
            lines = table.groupby(others, sort=False) if others else [((), table)]
            for values, part in lines:
                label = ", ".join(f"{n} {v}" for n, v in zip(others, values, strict=True))
                at = part[x].map(grid[x].index)
                (line,) = ax.plot(part[name].groupby(at).mean(), label=label)
                ax.plot(at, part[name], "o", color=line.get_color(), markersize=4)
            ax.set(title=name, xlabel=x, xlim=(-0.3, len(grid[x]) - 0.7))
            ax.set_xticks(range(len(grid[x])), grid[x])
        if others:
            handles, labels = axes.flat[0].get_legend_handles_labels()
            columns = max(1, 90 // (max(map(len, labels)) + 8))  # as many as fit
            figure.legend(handles, labels, loc="outside lower center", ncols=columns)
        figure.suptitle("A dot a run; lines: means", fontsize=SMALL, x=0.01, ha="left")
        figure.savefig(path, dpi=150)
        plt.close(figure)


def main(arguments: list[str]) -> int:
    """Run what is not finished, gather what is; 1 if a run has failed."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="folder of the sweep")
    parser.add_argument("grid", nargs="+", metavar="NAME=VALUE,…", help="a parameter's values")
    parser.add_argument("--cluster", default="local", choices=("local", "slurm"))
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="runs side by side")
    parser.add_argument("--hours", type=float, default=24, help="that a job may take")
    parser.add_argument("--option", action="append", default=[], help="of submitit, NAME=VALUE")
    parser.add_argument("--show", nargs="+", help="columns of the table that the figure shows")
    asked = parser.parse_args(arguments[:cut])
    for pair in (*asked.grid, *asked.option):
        if not all(pair.partition("=")):
            parser.error(f"{pair!r}: expected NAME=VALUE")
    grid = {n: v.split(",") for n, _, v in (pair.partition("=") for pair in asked.grid)}
    cells = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    runs = {}
    for cell in cells:
        folder = asked.output / ",".join(f"{n}={v}" for n, v in cell.items()).replace("/", "_")
        setting = [word for name, value in cell.items() for word in ("-p", name, value)]
        runs[folder] = [*arguments[cut + 1 :], *setting]
    todo = [(str(f.resolve()), how) for f, how in runs.items() if not finished(f, how)]
    print(f"{len(runs)} runs, {len(todo)} to do", flush=True)
    if todo:
        asked.output.mkdir(parents=True, exist_ok=True)
        executor = submitit.AutoExecutor(asked.output / "jobs", cluster=asked.cluster)
        options = dict(pair.split("=", 1) for pair in asked.option)
        options = {n: int(v) if v.isdigit() else v for n, v in options.items()}
        if asked.cluster == "slurm":
            options["slurm_array_parallelism"] = asked.at_once
        count = len(todo) if asked.cluster == "slurm" else min(asked.at_once, len(todo))
        executor.update_parameters(timeout_min=round(60 * asked.hours), **options)
        for job in executor.map_array(execute, [todo[i::count] for i in range(count)]):
            job.result()
    ended = [finished(*run) for run in runs.items()]
    rows = [c | gathered(f) for c, f, ok in zip(cells, runs, ended, strict=True) if ok]
    if rows:
        table = pd.DataFrame(rows)
        table.to_csv(asked.output / "sweep.csv", index=False)
        numbers = [n for n in table.select_dtypes("number") if ": " in n]
        draw(table, grid, asked.show or numbers[:4] or ["seconds"], asked.output / "sweep.png")
        print(f"{len(rows)} runs in {asked.output / 'sweep.csv'} and sweep.png")
    for folder, ok in zip(runs, ended, strict=True):
        if not ok:
            print(f"not finished, see {folder}.log", file=sys.stderr)
    return 0 if all(ended) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
