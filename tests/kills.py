"""Kill a small job at random moments, start it again, and compare what it made in the end.

    python tests/kills.py research 50        stores, trainings, refining, families, a ledger
    python tests/kills.py pipeline 50        the runner, with three notebooks

The job runs in a child process that is forked when everything is imported. Half of the kills come
after a random share of its processor time, wherever it is; the others just before a random one of
its accesses to the file system: between a file and its flag, between a draft and its name. What is
left at the end has to be what an undisturbed job leaves.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import torch
import zarr

from gc_utils.activations import CHUNK, ActivationStore, extract
from gc_utils.crosscoder import GroupCrosscoder, TiedCrosscoder, TrainConfig, Trainer, fit
from gc_utils.crosscoder.refinement import RefineConfig, fit_refined
from gc_utils.families import linked, orbit_distance
from gc_utils.files import is_stray, write_table
from gc_utils.groups import group
from gc_utils.images import load_images
from gc_utils.ledger import Ledger
from gc_utils.models import load_model
from gc_utils.pipeline import runner
from gc_utils.pipeline.execution import Execution
from gc_utils.pipeline.fingerprints import checksum
from gc_utils.pipeline.presets import PRESETS, Preset

SAMPLES, STEPS, EVERY, LEAST = 6 * CHUNK - 3, 24, 6, 1e-6
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")


def research(folder: Path, note: Callable[[str], None]) -> None:
    """Extraction, two trainings, refining and families, each as its notebook does it."""
    model = load_model("filter_bank", group="C4")
    images = load_images("scenes:4", min_size=model.crop_size("filters"))
    unit, advance = model.unit, Trainer.advance
    model.unit = lambda crops, layer: (note("chunk"), unit(crops, layer))[1]
    Trainer.advance = lambda trainer: (note("step"), advance(trainer))[1]
    settings = {"samples": SAMPLES, "progress": False, "batch": 4 * CHUNK}
    store = extract(folder / "activations.zarr", model, "filters", "C4", images, **settings)
    held, rows = store[np.flatnonzero(store.fold == 0)], np.flatnonzero(store.fold != 0)
    # Windows so short that features die, and families so alike that they are merged.
    config = {"steps": STEPS, "batch_size": 16, "warmup": 2, "evaluate_every": EVERY}
    config = TrainConfig(**config, dead_window=48, merge_every=8, precision="float32")
    told = {"data_checksum": store.checksum(), "progress": False}
    for name, coder in (
        ("untied", GroupCrosscoder("C4", store.channels, 24, k=4)),
        ("tied", TiedCrosscoder("C4", store.channels, 6, k=4, encode_from="orbit")),
    ):
        fit(folder / f"{name}.safetensors", coder, store, rows, held, config, **told)
    again = TrainConfig(steps=EVERY, batch_size=16, evaluate_every=3, precision="float32")
    coder, _ = fit_refined(
        folder / "refined.safetensors",
        folder / "untied.safetensors",
        store,
        rows,
        held,
        RefineConfig(passes=2, encoder=again, together=4),
        progress=False,
    )
    D = orbit_distance(coder.V.detach(), group("C4"))
    ledger = Ledger(folder / "families.jsonl", seed=0)
    for cut in (0.2, 0.4, 0.6, 0.8):
        row = ledger.row(lambda cut=cut: {"families": int(linked(D, cut).labels.max())}, cut=cut)
        assert row["cut"] == cut
    write_table(folder / "families.csv", ledger.table(), index=False)


PARAMETERS = 'run_dir = "out"\nseed = 3\n'
NOTEBOOKS = {
    "01_first": "import numpy as np, pathlib, zarr\nr = pathlib.Path(run_dir)\n"
    "g = zarr.open_group(r / 'data.zarr', mode='a')\n"
    "a = g.require_array('A', shape=(8, 3), chunks=(1, 3), dtype='float32')\n"
    "for i in range(8):\n    a[i] = np.full(3, seed + i + 1)",
    "02_second": "import pathlib, pandas as pd, zarr\nfrom gc_utils.files import write_whole\n"
    "r = pathlib.Path(run_dir)\nA = zarr.open_group(r / 'data.zarr', mode='r')['A'][:]\n"
    "kept = r / 'checkpoints'\nkept.mkdir(exist_ok=True)\n"
    "for i, row in enumerate(A):\n"
    "    if not (kept / f'{i}.txt').exists():\n        note('checkpoint')\n"
    "        with write_whole(kept / f'{i}.txt') as draft:\n"
    "            draft.write_text(str(row.sum()))\n"
    "pd.DataFrame(A).to_csv(r / 'table.csv', index=False)",
    "03_third": "import pathlib\nr = pathlib.Path(run_dir)\n"
    "text = (r / 'table.csv').read_text() + (r / 'checkpoints' / '7.txt').read_text()\n"
    "(r / 'last.csv').write_text(text)",
}


def pipeline(folder: Path, note: Callable[[str], None]) -> None:
    """The runner on three notebooks, whose cells are executed in this process."""
    import nbformat

    notebooks = folder.parents[1] / "notebooks"
    PRESETS["demo"] = Preset("demo", "of this test", {"seed": 3})

    def execute(path: Path, output: Path, parameters: dict, on_progress) -> Execution:
        note(path.stem)
        names = {"note": note}
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                exec(cell.source, names)
                if "parameters" in cell.metadata.get("tags", []):
                    names |= parameters
        return Execution(1.0, 3, 1, None)

    runner.execute = execute
    runner.run("demo", folder, notebooks=notebooks, stream=io.StringIO(), records=())


def prepare(work: Path) -> None:
    """What a job needs beside its folder."""
    import nbformat

    (work / "notebooks").mkdir(parents=True)
    for name, code in NOTEBOOKS.items():
        cell = nbformat.v4.new_code_cell
        cells = [
            nbformat.v4.new_markdown_cell("# What?\n\nText."),
            cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            cell(code),
        ]
        kernel = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        nbformat.write(notebook, work / "notebooks" / f"{name}.ipynb")


class Killer:
    """Starts a job again and again, and kills it."""

    def __init__(self, job: Callable, work: Path, seed: int) -> None:
        self.job, self.work, self.draw = job, work, random.Random(seed)
        prepare(work)

    def start(self, folder: Path, kill_at: int = 0) -> int:
        """Fork the job; `kill_at` is the number of the file system's event that it dies before."""
        log = self.work / "work.log"
        child = os.fork()
        if child:
            return child
        try:
            torch.set_num_threads(1)
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            self._watch(folder, kill_at)
            self.job(folder, lambda what: os.write(descriptor, f"{what}\n".encode()))
            os.write(descriptor, f"events {self.count[0]}\n".encode())
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def _watch(self, folder: Path, kill_at: int) -> None:
        """Count the accesses to the folder, in a file that outlives the process."""
        count, inside = [0], str(folder)

        def hook(event: str, arguments: tuple) -> None:
            if event not in EVENTS or not any(inside in str(a) for a in arguments[:2]):
                return
            count[0] += 1
            if count[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        self.count = count

    def undisturbed(self, folder: Path) -> tuple[float, int, list[str]]:
        """Run the job to its end: processor time, accesses to its folder, and what it did."""
        (self.work / "work.log").unlink(missing_ok=True)
        child = self.start(folder)
        _, status, used = os.wait4(child, 0)
        assert status == 0, "the job itself fails"
        done = self.done()
        return used.ru_utime + used.ru_stime, int(done[-1]), done[:-2]

    def done(self) -> list[str]:
        """What the job noted so far."""
        log = self.work / "work.log"
        return log.read_text().split() if log.exists() else []

    def killed(self, folder: Path, seconds: float, events: int) -> str:
        """Run the job and kill it; "killed", "done", or "failed"."""
        if self.draw.random() < 0.5:
            child = self.start(folder, self.draw.randint(1, events))
        else:
            child, limit = self.start(folder), self.draw.uniform(0.02, seconds)
            process = psutil.Process(child)
            while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                times = process.cpu_times()
                if times.user + times.system > limit:
                    time.sleep(self.draw.uniform(0, 0.01))
                    os.kill(child, signal.SIGKILL)
                    break
                time.sleep(0.002)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            return "killed"
        return "done" if status == 0 else "failed"


def differences(expected: Path, found: Path) -> list[str]:
    """Where two folders of the job differ: in files, or in numbers by more than 1e-6."""
    names = [
        {f.relative_to(folder).as_posix() for f in _all(folder)} for folder in (expected, found)
    ]
    wrong = [f"only there: {name}" for name in sorted(names[0] ^ names[1])]
    for name in sorted(names[0] & names[1]):
        a, b = expected / name, found / name
        if a.name == "run.json":
            a, b = (json.loads(path.read_text())["notebooks"] for path in (a, b))
            for key in a:
                same = [a[key][part] == b[key][part] for part in ("status", "inputs", "outputs")]
                wrong += [] if all(same) else [f"run.json: {key} {same}"]
        elif a.read_bytes() != b.read_bytes():
            wrong += [] if _close(a, b) else [f"differs: {name}"]
    for store in (p for p in expected.glob("*.zarr")):
        if (there := zarr.open_group(store, mode="r")).attrs.get("format"):
            there, here = (
                ActivationStore.open(folder / store.name) for folder in (expected, found)
            )
            same = torch.equal(there.read(), here.read())
            same = same and np.array_equal(there.patches, here.patches)
            wrong += [] if same else [f"elements differ: {store.name}"]
        if checksum(store) != checksum(found / store.name):
            wrong.append(f"bytes differ: {store.name}")
    return wrong


def _all(folder: Path) -> list[Path]:
    """Every file, drafts too: nothing may be left behind, but by zarr in a store of its own."""
    inside = (p for p in folder.rglob("*") if p.is_file() and p.name != ".lock")
    return [p for p in inside if not ("data.zarr" in p.parts and is_stray(p.name))]


def _close(a: Path, b: Path) -> bool:
    from safetensors.torch import load_file

    if a.suffix != ".safetensors":
        return False
    one, two = load_file(a), load_file(b)
    return one.keys() == two.keys() and all(
        torch.allclose(one[n].double(), two[n].double(), rtol=LEAST, atol=LEAST) for n in one
    )


def main(name: str, kills: int, seed: int) -> list[str]:
    """Kill a job that many times; returns what was wrong."""
    work, wrong = Path(tempfile.mkdtemp(prefix="kills-")), []
    killer = Killer({"research": research, "pipeline": pipeline}[name], work, seed)
    expected, folder = work / "expected" / "run", work / "found" / "run"
    for path in (expected, folder):
        path.parent.mkdir()
    needed, events, asked = killer.undisturbed(expected)
    count, rounds, since = 0, 0, 0
    (work / "work.log").unlink()
    while True:
        how = killer.killed(folder, needed, events) if count < kills else "last"
        if how == "last":
            child = killer.start(folder)
            how = "done" if os.waitpid(child, 0)[1] == 0 else "failed"
        if how == "failed":
            wrong.append(f"after {count} kills the job fails")
            break
        if how == "killed":
            count, since = count + 1, since + 1
            continue
        rounds += 1
        wrong += [f"after {count} kills: {line}" for line in differences(expected, folder)]
        wrong += too_much(asked, killer.done(), since)
        shutil.rmtree(folder)
        (work / "work.log").unlink()
        since = 0
        if count >= kills:
            break
    print(f"{name}: {count} kills in {rounds} jobs of {needed:.1f} s; {len(wrong)} faults")
    print("\n".join(wrong))
    shutil.rmtree(work)
    return wrong


def too_much(asked: list[str], done: list[str], kills: int) -> list[str]:
    """What was done again though it was finished: a kill may cost what was under way, no more."""
    lost = {"chunk": 1, "step": EVERY, "checkpoint": 1}
    wrong = []
    for what in sorted(set(asked)):
        most = asked.count(what) + kills * lost.get(what, 1)
        if done.count(what) > most:
            wrong.append(f"{what}: {done.count(what)} times, {most} at most after {kills} kills")
    return wrong


if __name__ == "__main__":
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    sys.exit(bool(main(sys.argv[1], int(sys.argv[2]), seed)))
