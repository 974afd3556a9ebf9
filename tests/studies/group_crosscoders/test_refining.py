"""Notebook 02: dictionaries before and after they are refined."""

import numpy as np
import pytest
import torch

from gc_utils.crosscoder import GroupCrosscoder, TrainConfig
from gc_utils.groups import group
from gc_utils.planted import planted_orbits
from gc_utils.studies.group_crosscoders.folds import (
    Folds,
    FoldTrainer,
    dictionaries,
    forget_further_folds,
    merged,
)
from gc_utils.studies.group_crosscoders.refining import (
    BEFORE,
    before_and_after,
    compared,
    refine_all,
    reproducibility,
)


@pytest.fixture(scope="module")
def planted():
    return planted_orbits("D4", 16, {"C1": 1, "D1": 1}, samples=600, l0=2, seed=0)


def trainer(planted, folder, **settings):
    data = Folds(planted.A, np.arange(600) % 2, planted.group, 2)
    config = TrainConfig(steps=60, batch_size=64, evaluate_every=60, lr=2e-3)
    return FoldTrainer(
        data, folder, "checksum", config, **({"features": 24, "tied": ""} | settings),
        sparsity="batchtopk", k=2,
    )  # fmt: skip


def trained(trainer, encoders=("orbit", "identity")):
    plain = {
        (encoder, n): trainer.crosscoder(f"crosscoder_{encoder}", n, encoder)[0]
        for encoder in encoders
        for n in range(2)
    }
    return plain | {("sae", n): trainer.autoencoder(n)[0] for n in range(2)}


def test_refined_dictionaries_are_found_again_and_kept_beside_the_plain_ones(planted, tmp_path):
    one = trainer(planted, tmp_path, passes=4)
    plain = trained(one)
    refined = refine_all(one, plain)
    assert list(refined) == list(plain)
    table = before_and_after(plain, refined).groupby("method").reproducibility.mean()
    name = "crosscoder, orbit encoder"
    assert table[name] > table[name + BEFORE]
    read = dictionaries(tmp_path, "orbit")
    assert list(read) == [0, 1] and torch.equal(read[1].V, refined["orbit", 1].V)
    raw = dictionaries(tmp_path, "sae", refined=False)
    assert torch.equal(raw[0].V, plain["sae", 0].V)


def test_what_both_explain_is_compared_with_the_baselines_once(planted, tmp_path):
    one = trainer(planted, tmp_path, passes=1)
    plain = trained(one)
    refined = refine_all(one, plain)
    crosscoders = {key: coder for key, coder in refined.items() if key[0] != "sae"}
    table, by_element = compared(crosscoders, plain, one.data, 2)
    names = list(dict.fromkeys(table.method))
    assert names == [
        "crosscoder, orbit encoder",
        "crosscoder, orbit encoder" + BEFORE,
        "crosscoder, identity encoder",
        "crosscoder, identity encoder" + BEFORE,
        "PCA, 2 components",
        "ridge from the identity",
    ]
    assert set(by_element) == {"orbit", "identity", "ridge"}
    total = table[table.part == "total"]
    assert (total.groupby("method").size() == 2).all()


def test_tied_crosscoders_and_no_passes_leave_dictionaries_as_they_are(planted, tmp_path):
    one = trainer(planted, tmp_path / "tied", tied="4", passes=1)
    plain = trained(one, encoders=("orbit",))
    refined = refine_all(one, plain)
    assert refined["orbit", 0] is plain["orbit", 0] and refined["sae", 0] is not plain["sae", 0]
    methods = set(before_and_after(plain, refined).method)
    assert methods == {
        "crosscoder, orbit encoder",
        "sparse autoencoder",
        "sparse autoencoder" + BEFORE,
    }
    other = trainer(planted, tmp_path / "none", passes=0)
    plain = trained(other, encoders=("orbit",))
    assert all(
        a is b for a, b in zip(refine_all(other, plain).values(), plain.values(), strict=True)
    )
    assert set(before_and_after(plain, plain).method) == {
        "crosscoder, orbit encoder",
        "sparse autoencoder",
    }


def test_reproducibility_is_the_cosine_up_to_the_group():
    draw = torch.Generator().manual_seed(0)
    V = torch.randn(5, 8, 6, generator=draw)
    coders = {}
    for n in range(3):
        coder = GroupCrosscoder("D4", 6, 5, k=1)
        moved = V[:, group("D4").right(n)].clone()
        if n == 2:  # a third of what the others are compared with has lost a feature
            moved[0] = torch.randn(8, 6, generator=draw)
        coder.V.data.copy_(moved)
        coders["orbit", n] = coder
    table = reproducibility(coders).set_index("fold")
    assert table.reproducibility.tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    assert table.share.tolist() == pytest.approx([0.8, 0.8, 0.8])


def test_two_folds_of_four_train_on_different_images():
    fold = np.arange(12) % 4
    of = merged(fold, 2)
    training = [set(np.flatnonzero(of != n)) for n in range(2)]
    assert not training[0] & training[1] and len(training[0] | training[1]) == 12
    assert (merged(fold, 4) == fold).all()


def test_dictionaries_of_folds_no_longer_used_go(planted, tmp_path):
    one = trainer(planted, tmp_path, passes=1)
    refine_all(one, trained(one, encoders=("orbit",)))
    (tmp_path / "other_7.safetensors").touch()
    forget_further_folds(tmp_path, 1)
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {
        "crosscoder_orbit_0.safetensors",
        "refined_orbit_0.safetensors",
        "sae_0.safetensors",
        "refined_sae_0.safetensors",
        "other_7.safetensors",
    }
    assert list(dictionaries(tmp_path, "orbit")) == [0]
