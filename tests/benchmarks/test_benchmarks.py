"""Benchmarks compare results, run both ways in turn, and say what they measured; times are free."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from gc_utils.__main__ import main
from gc_utils.benchmarks import ROWS, Rates, compare, describe_machine, imagenet_plan, rows_table
from gc_utils.benchmarks.distances import benchmark_distances
from gc_utils.benchmarks.extraction import benchmark_extraction, plain_layers
from gc_utils.benchmarks.growth import one_point
from gc_utils.benchmarks.refining import benchmark_refining
from gc_utils.benchmarks.training import PlainCrosscoder, benchmark_training, slow_orbits
from gc_utils.crosscoder import GroupCrosscoder, ShuffledBatches, TrainConfig, Trainer
from gc_utils.crosscoder.basis import OrbitBasis
from gc_utils.groups import group
from gc_utils.models import load_model
from gc_utils.models.architecture import BVLC_GOOGLENET, INCEPTION5H


def test_both_ways_are_run_in_turn_and_their_results_compared():
    calls = []
    row = compare(
        "adding",
        lambda: calls.append("ours") or 3.0,
        lambda: calls.append("other") or 2.5,
        lambda found, expected: found - expected,
        count=10,
        other_count=5,
        unit="sums",
        other="by hand",
        measure="difference",
        repeats=3,
    )
    assert calls == ["ours", "other"] * 4  # the first of each is not counted
    assert row.agreement == 0.5 and row.repeats == 3
    assert row.low <= row.ratio <= row.high
    assert row.ours > 0 and row.others > 0
    table = rows_table([row])
    assert table.loc["adding", "compared with"] == "by hand"
    assert json.loads(json.dumps(row.as_dict()))["name"] == "adding"


@pytest.mark.parametrize("weights", ["demo", "random"])
def test_plain_layers_are_the_network(weights):
    model = load_model("inceptionv1", weights)
    x = torch.rand(2, 3, 97, 97, generator=torch.Generator().manual_seed(0))
    for layer in ("conv2d0", "conv2d2", "mixed3b"):
        with torch.no_grad():
            expected = model.activations(x, layer)
            found = plain_layers(model.network, x, layer)
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.max()))


def test_units_of_crops_and_of_frames_are_the_same():
    row = benchmark_extraction(2, repeats=1, naive=4)
    assert row.agreement < 1e-3
    assert row.unit == "crops"


def test_distances_and_codes_agree():
    assert benchmark_distances("D8", 24, 40, repeats=1).agreement < 1e-4
    assert benchmark_refining("D4", 16, features=40, repeats=1, few=8).agreement < 1e-2


@pytest.mark.parametrize("encode_from", ["identity", "orbit"])
def test_training_ends_where_the_plain_way_ends(encode_from):
    how = {"k": 8, "samples": 512, "steps": 150, "repeats": 1, "encode_from": encode_from}
    row = benchmark_training("D8", 32, 64, **how)
    assert row.measure.startswith("held-out FVU")
    assert row.agreement < 0.03
    unlike = benchmark_training("D4", 16, 32, k=4, samples=64, steps=4, other_steps=2, repeats=1)
    assert "unlike" in unlike.measure


def test_the_plain_step_has_the_same_objective():
    g = group("D8")
    A = slow_orbits(g, 24, 256)
    coder = GroupCrosscoder("D8", 24, 48, k=6, encode_from="orbit")
    config = TrainConfig(batch_size=128, precision="float32")
    run = Trainer(coder, ShuffledBatches(A, np.arange(256), 128, 0), config)
    batch = run.orbits.batch(0, torch.Generator().manual_seed(0))
    expected = float(run.loss(batch)[1]["loss"])
    loss = PlainCrosscoder(coder)(batch, run.active()).item()
    assert loss == pytest.approx(expected, rel=1e-4)


def test_made_up_orbits_are_held_by_few_numbers():
    A = slow_orbits(group("D8"), 32, 400)
    assert A.shape == (400, 16, 32) and A.isfinite().all()
    basis = OrbitBasis.of(A, group("D8"), keep=0.9)
    assert basis.size < basis.numbers / 4


def test_products_are_counted():
    # One unit of conv2d0: 64 channels of 7 x 7 x 3 weights.
    assert INCEPTION5H.multiply_adds("conv2d0") == 64 * 7 * 7 * 3
    # All of an image: as many for each of 112 x 112 units.
    assert BVLC_GOOGLENET.multiply_adds("conv2d0", 224) == 112**2 * 64 * 7 * 7 * 3
    one = INCEPTION5H.multiply_adds("mixed3b")
    assert one < INCEPTION5H.multiply_adds("mixed3b", INCEPTION5H.crop_size("mixed3b"))
    assert one < INCEPTION5H.multiply_adds("mixed3b", 224) / 10


def test_the_plan_follows_from_the_rates():
    plan = imagenet_plan(Rates(crops=1000, samples=500, flops=1e11), images=1000, name="D8")
    assert plan.loc["crops", "value"] == "16,000"
    twice = imagenet_plan(Rates(crops=2000, samples=500, flops=1e11), images=1_000_000, name="D8")
    once = imagenet_plan(Rates(crops=1000, samples=500, flops=1e11), images=1_000_000, name="D8")

    def hours(plan):
        return float(plan.loc["extraction, here", "value"].split()[0].replace(",", ""))

    assert hours(once) == pytest.approx(2 * hours(twice), rel=0.3)


def test_a_point_of_the_growth():
    point = one_point(samples=64, rotations=4, features=32, channels=16)
    assert set(point) == {"training", "distances", "memory"}
    assert point["memory"] >= 0 and point["training"] > 0


def test_the_machine_is_described():
    machine = describe_machine()
    assert "GFLOP/s" in machine["float32 products"] and machine["torch"] == torch.__version__


def test_the_command(tmp_path, capsys, monkeypatch):
    small = {"small": lambda: benchmark_distances("D4", 8, 16, repeats=1)}
    monkeypatch.setitem(ROWS, "distances", small)
    path = tmp_path / "rows.json"
    assert main(["bench", "--only", "distances", "--json", str(path)]) == 0
    assert "times as fast" in capsys.readouterr().out
    written = json.loads(path.read_text())
    assert written["rows"][0]["unit"] == "pairs" and "torch" in written["machine"]


@pytest.mark.parametrize(
    "words, expected",
    [(["--only", "distance"], "distances"), (["--size", "huge"], "small")],
)
def test_what_is_not_there_is_said_before_anything_is_measured(words, expected, capsys):
    assert main(["bench", *words]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err and not captured.out
