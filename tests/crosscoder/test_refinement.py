"""Exact sparse codes tell apart what an encoder merges."""

import numpy as np
import pytest
import torch

from gc_utils.crosscoder import (
    GroupCrosscoder,
    TiedCrosscoder,
    TrainConfig,
    evaluate,
    refine,
    train,
)
from gc_utils.errors import UserError
from gc_utils.planted import cosines, planted_orbits

QUICK = TrainConfig(steps=60, batch_size=128, evaluate_every=60, lr=2e-3)


@pytest.fixture(scope="module")
def planted():
    return planted_orbits("D8", 24, {"C1": 2, "D1": 1}, samples=1200, l0=2, seed=0).split(200)


def trained(planted, **settings):
    seen, held_out = planted
    coder = GroupCrosscoder("D8", 24, 60, k=2, encode_from="orbit", **settings)
    train(coder, seen.A, np.arange(len(seen.A)), held_out.A, QUICK, progress=False)
    return coder


def test_the_dictionary_comes_nearer_to_the_truth_and_explains_more(planted):
    seen, held_out = planted
    coder = trained(planted)
    before = cosines(seen.V, coder.V.detach()).amax(1).mean()
    fvu, norms = evaluate(coder, held_out.A, coder.mean).fvu, coder.norms.detach().clone()
    history = refine(
        coder, seen.A, np.arange(len(seen.A)), held_out.A, QUICK, passes=4, progress=False
    )
    after = cosines(seen.V, coder.V.detach()).amax(1).mean()
    found = evaluate(coder, held_out.A, coder.mean)
    assert after > before + 0.02 and after > 0.9
    assert found.fvu < fvu and found.l0 == pytest.approx(2, abs=0.01)
    assert torch.allclose(coder.norms, norms, rtol=1e-4)  # blocks keep their lengths
    assert coder.V.requires_grad and len(history) > 0


def test_merged_neighbours_are_told_apart(planted):
    """Every feature begins halfway between two translates: the encoder's loss would let it stay."""
    seen, held_out = planted
    coder = GroupCrosscoder("D8", 24, len(seen.V), k=2, encode_from="orbit")
    coder.normalise(seen.A)
    coder.start((seen.V + 0.8 * seen.V[:, seen.group.right(1)]) / 10)
    coder.fresh = False
    before = cosines(seen.V, coder.V.detach()).amax(1)
    refine(coder, seen.A, np.arange(len(seen.A)), held_out.A, QUICK, passes=6, progress=False)
    after = cosines(seen.V, coder.V.detach()).amax(1)
    assert before.mean() < 0.95 < 0.98 < after.median()


def test_the_same_seed_gives_the_same_dictionary(planted):
    seen, held_out = planted
    rows = np.arange(len(seen.A))
    both = [trained(planted) for _ in range(2)]
    for coder in both:
        refine(coder, seen.A, rows, held_out.A, QUICK, passes=1, progress=False)
    assert torch.allclose(both[0].V, both[1].V, atol=1e-5)


def test_mistakes_are_named(planted):
    seen, held_out = planted
    rest = (seen.A, np.arange(len(seen.A)), held_out.A, QUICK)
    with pytest.raises(UserError, match="refine an untied one"):
        refine(TiedCrosscoder("D8", 24, 3, k=2), *rest)
    with pytest.raises(UserError, match="train it first"):
        refine(GroupCrosscoder("D8", 24, 30, k=2), *rest)
    with pytest.raises(UserError, match="passes = 0"):
        refine(trained(planted), *rest, passes=0)
