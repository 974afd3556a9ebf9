"""Processes that work together find what one finds alone, and a choice over all is one choice."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import gc_utils
from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.ranks import ALONE, Ranks, ranks, started_together

pytestmark = pytest.mark.first
SCRIPT = Path(__file__).with_name("several_processes.py")


@dataclass
class Wire:
    """A stand-in for Fabric: writes down what each process sends, or hands out the sum of it."""

    sent: list[torch.Tensor] = field(default_factory=list)
    all_sent: bool = False
    device = torch.device("cpu")

    def all_reduce(self, x: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "sum"
        if self.all_sent:
            return torch.stack(self.sent).sum(0)
        self.sent.append(x)
        return x


def on_three(parts: list[torch.Tensor], ask) -> list[torch.Tensor]:
    """What each of three processes gets from a function of `Ranks` and its own part."""
    wire = Wire()
    for wire.all_sent in (False, True):
        found = [ask(Ranks(rank, 3, wire), part) for rank, part in enumerate(parts)]
    return found


@pytest.mark.parametrize("count", [0, 1, 7, 9])
def test_shares_are_all_there_is_and_equal_within_one(count):
    parts = [range(count)[Ranks(rank, 3).share(count)] for rank in range(3)]
    assert [i for part in parts for i in part] == list(range(count))
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) == lengths[0] == Ranks(0, 3).largest_share(count)
    assert range(count)[ALONE.share(count)] == range(count)


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("count", [1, 6, 13, 50])
def test_the_largest_of_all_processes_are_chosen(count, equal):
    """Uneven parts; one process may have most of them; equal values are not counted twice."""
    x = torch.rand(50, generator=torch.Generator().manual_seed(count))
    x[20:] += 1
    x = (3 * x).round() if equal else x
    parts = list(x.split([20, 19, 11]))
    chosen = on_three(parts, lambda r, part: r.largest(part, count, 20))
    values = torch.cat([part[i] for part, i in zip(parts, chosen, strict=True)])
    assert torch.equal(values.sort().values, x.topk(count).values.sort().values)
    assert all(len(i.unique()) == len(i) for i in chosen)
    assert torch.equal(x[ALONE.largest(x, count, 50)].sort().values, values.sort().values)


def test_the_highest_rows_of_all_processes_are_found():
    x = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    for found in on_three(list(x.split([4, 5, 1])), lambda r, part: r.highest(part, 3)):
        assert torch.equal(found, x.topk(3, dim=0).values)
    assert torch.equal(ALONE.highest(x, 3), x.topk(3, dim=0).values)


def test_without_torchrun_a_process_is_alone():
    assert ranks() is ALONE and started_together() == 1
    assert ALONE.first and ALONE.of_first("x") == "x"
    ALONE.wait()
    x = torch.tensor([True, False])
    assert torch.equal(ALONE.any(x), x) and torch.equal(ALONE.sum(x), x)


def started(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """Python, as one of two processes that torchrun has started."""
    by = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    by |= {"RANK": "0", "LOCAL_RANK": "0", "PYTHONPATH": str(Path(gc_utils.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | by | environment,
        capture_output=True,
        text=True,
    )


ASK = """
import sys
sys.modules["lightning_fabric"] = None  # as if it were not installed
from gc_utils.ranks import ranks
print(ranks())
"""


@pytest.mark.slow
def test_torchrun_without_the_extra_is_an_error_that_names_it(tmp_path):
    found = started("-c", ASK, cwd=tmp_path)
    assert found.returncode == 1
    assert "started 2 processes" in found.stderr and "pip install lightning-fabric" in found.stderr
    one = started("-c", ASK, cwd=tmp_path, WORLD_SIZE="1")
    child = started("-c", ASK, cwd=tmp_path, GC_UTILS_RANK_PROCESS="1")  # of another process
    for found in (one, child):
        assert found.stdout.strip() == "Ranks(rank=0, size=1, fabric=None)", found.stderr


@pytest.mark.slow
def test_the_notebooks_are_not_run_by_several_processes(tmp_path):
    found = started("-m", "gc_utils", "run", "--output", "run", cwd=tmp_path)
    assert found.returncode == 2 and not (tmp_path / "run").exists()
    assert "torchrun has started 2 processes" in found.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[int, Path]:
    """Folders that one process and two have filled."""
    folders = {}
    root = str(Path(gc_utils.__file__).parents[1])
    for count in (1, 2):
        folders[count] = tmp_path_factory.mktemp(f"by{count}")
        start = [sys.executable]
        if count > 1:
            start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        done = subprocess.run(
            [*start, str(SCRIPT), str(folders[count])],
            # One thread each, as torchrun has it: sums in another order round differently.
            env=os.environ
            | {"PYTHONPATH": root, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folders


@pytest.mark.slow
def test_two_processes_fill_the_same_store(made):
    one, two = (ActivationStore.open(made[count] / "activations.zarr") for count in (1, 2))
    assert one.settings == two.settings and one.checksum() == two.checksum()
    assert torch.equal(one.read(), two.read()) and np.array_equal(one.patches, two.patches)
    assert sorted(one.samples) == sorted(two.samples)
    for name, values in one.samples.items():
        assert np.array_equal(values, two.samples[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["batchtopk", "orbit", "topk", "l1", "sae", "tied", "refined"])
def test_two_processes_train_the_same_crosscoder(made, name):
    one, two = (pd.read_csv(made[count] / f"{name}.history.csv") for count in (1, 2))
    # Dense products of half a batch round otherwise than those of all of it (sparse ones do not);
    # of a refined dictionary, a long way from the start, that has grown.
    near = 1e-5 if name != "refined" else 1e-3
    assert len(one) >= 5 and (one.dead.max() > 0 or name == "l1"), "revival has been at work"
    assert one.columns.equals(two.columns)
    for column in ("step", "samples", "dead", "held_out_l0", "held_out_dead"):
        assert np.array_equal(one[column], two[column], equal_nan=True), column
    for column in ("loss", "l0", "revival", "fvu_batch", "held_out_fvu"):
        assert one[column].to_numpy() == pytest.approx(
            two[column].to_numpy(), rel=near, abs=1e-7, nan_ok=True
        ), column
    coders = [GroupCrosscoder.load(made[count] / f"{name}.safetensors") for count in (1, 2)]
    assert coders[0].config == coders[1].config
    apart = (coders[0].V - coders[1].V).norm() / coders[0].V.norm()
    assert apart < 10 * near
    if name == "tied":
        assert coders[0].config.features < 60, "families have been given symmetry"


@pytest.mark.slow
def test_one_process_of_them_writes(made):
    """Nothing is left over, and what both had written would lie there twice."""
    assert sorted(p.name for p in made[1].iterdir()) == sorted(p.name for p in made[2].iterdir())
