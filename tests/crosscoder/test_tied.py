"""The tied crosscoder is closed under the group, pays for no copy, and trains as any other."""

import numpy as np
import pytest
import torch

from gc_utils.crosscoder import (
    GroupCrosscoder,
    ShuffledBatches,
    TiedCrosscoder,
    TrainConfig,
    Trainer,
    evaluate,
    fit,
    parse_families,
    train,
)
from gc_utils.errors import UserError
from gc_utils.planted import planted_orbits, recovery
from gc_utils.symmetry import symmetry_report

MIXED = ["C1", "D1@0", "D1@22.5", "C2", "D2@45", "C4", "D4@0", "G"]
FAST = TrainConfig(steps=60, batch_size=64, warmup=10, evaluate_every=30, merge_every=20)


def some(encode_from="orbit", stabilisers=MIXED, sparsity="batchtopk"):
    """A tied crosscoder with every weight in use."""
    coder = TiedCrosscoder(
        "D8", 5, 8, k=4, encode_from=encode_from, stabilisers=stabilisers, sparsity=sparsity
    )
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in coder.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    A = orbits(300)
    coder.normalise(A)
    coder.calibrate(A)
    return coder


def orbits(count, seed=1):
    return torch.randn(count, 16, 5, generator=torch.Generator().manual_seed(seed)) + 2


def permutation(coder, a):
    """For every feature `(k, h)`, the number of feature `(k, a·h)`."""
    family, element = coder.features
    subgroups, g = coder.group.subgroups(), coder.group
    number = {key: i for i, key in enumerate(zip(family.tolist(), element.tolist(), strict=True))}
    found = []
    for k, h in zip(family.tolist(), element.tolist(), strict=True):
        inside = list(subgroups[coder.subgroup[k]].elements)
        found.append(number[k, int(g.table[g.table[a, h], inside].min())])
    return found


def test_features_are_the_translates_of_templates():
    coder = some()
    family, element = coder.features
    V, g, subgroups = coder.untied().V, coder.group, coder.group.subgroups()
    assert len(V) == coder.config.features == 16 + 8 + 8 + 8 + 4 + 4 + 2 + 1
    for i, (k, h) in enumerate(zip(family.tolist(), element.tolist(), strict=True)):
        inside = list(subgroups[coder.subgroup[k]].elements)
        T = torch.stack([coder.template[k][g.table[:, s]] for s in inside]).mean(0)
        assert torch.allclose(V[i], T[g.right(h)], atol=1e-5)


def test_the_dictionary_is_closed_and_has_the_stabilisers_chosen():
    coder = some()
    V = coder.untied().V.detach()
    for a in range(16):
        turned = V[:, coder.group.right(a)]
        assert torch.allclose(V[permutation(coder, a)], turned, atol=1e-5)
    first = [int((coder.features[0] == k).nonzero()[0]) for k in range(8)]
    assert list(symmetry_report(V[first], coder.group, 0.999).stabiliser) == coder.stabilisers


@pytest.mark.parametrize("sparsity", ["l1", "topk", "batchtopk"])
def test_a_turned_picture_has_the_same_code_with_orientations_permuted(sparsity):
    coder = some(sparsity=sparsity)
    A = orbits(50, seed=2)
    f = coder.encode(A)
    assert (f > 0).any(0).float().mean() > 0.3
    for a in range(16):
        turned = coder.encode(A[:, coder.group.right(a)])
        assert torch.allclose(turned[:, permutation(coder, a)], f, atol=1e-5)


def test_the_identity_encoder_reads_one_view():
    coder = some("identity")
    A = orbits(20, seed=3)
    changed = A.clone()
    changed[:, 1:] = 7.0
    assert torch.equal(coder.encode(A), coder.encode(changed))
    family, element = coder.features
    chiral = family == 0
    assert torch.equal(coder.untied().W_enc[chiral, 0], coder.reader[0, element[chiral]])


@pytest.mark.parametrize("encode_from", ["identity", "orbit"])
def test_a_file_holds_all_features_and_their_families(tmp_path, encode_from):
    coder = some(encode_from)
    coder.save(tmp_path / "tied.safetensors")
    loaded = GroupCrosscoder.load(tmp_path / "tied.safetensors")
    A = orbits(40, seed=4)
    assert torch.allclose(loaded.encode(A), coder.encode(A), atol=1e-4)
    assert torch.allclose(loaded(A), coder(A), atol=1e-4)
    assert torch.equal(loaded.family, coder.features[0])
    assert torch.equal(loaded.element, coder.features[1])
    assert loaded.config == coder.config and loaded.config.families == 8
    loaded.save(tmp_path / "again.safetensors")
    again = GroupCrosscoder.load(tmp_path / "again.safetensors")
    assert torch.equal(again.family, loaded.family)


def test_gradients_are_those_of_the_written_out_crosscoder():
    coder = some()
    A = (orbits(30, seed=5) - coder.mean) / coder.scale
    codes = coder.training_codes(A)[0].detach()
    loss = (A - coder.decode_normalised(coder.training_codes(A)[0])).square().sum()
    loss.backward()
    for k, name in [(0, "C1"), (7, "G")]:  # a nudge of one number of a template
        gradient = float(coder.template.grad[k, 3, 2])
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                coder.template[k, 3, 2] += sign * 5e-3
                losses.append(float((A - coder.decode_normalised(codes)).square().sum()))
                coder.template[k, 3, 2] -= sign * 5e-3
        assert (losses[0] - losses[1]) / 1e-2 == pytest.approx(gradient, rel=0.05, abs=0.05), name
    assert all(p.grad.abs().max() > 0 for p in coder.parameters())


def test_features_are_computed_once_where_no_weight_changes():
    coder = some()
    with coder.fixed():
        V = coder.V
        with coder.fixed(), torch.no_grad():
            without = coder.V
            assert coder.V is without is not V  # which no gradient would pass
        assert coder.V is V and V.requires_grad and not without.requires_grad
    with torch.no_grad():
        coder.template.mul_(2)
    assert torch.allclose(coder.V, 2 * V)
    copy = coder.untied()
    with torch.no_grad():
        coder.template.zero_()
    assert torch.allclose(copy.V, 2 * V) and copy.V.is_leaf and not coder.V.any()


def test_parameters_are_fewer_by_the_order_of_the_group():
    tied = TiedCrosscoder("D8", 20, 6, k=4, encode_from="orbit")
    untied = GroupCrosscoder("D8", 20, 96, k=4, encode_from="orbit")
    count = [sum(p.numel() for p in c.parameters()) for c in (tied, untied)]
    assert tied.config.features == 96
    assert count[1] / count[0] == pytest.approx(16, rel=0.05)


def test_merging_takes_the_symmetry_that_templates_have():
    coder = some(stabilisers="C1")
    truth = some()  # its templates have symmetry
    with torch.no_grad():
        features, first = truth.untied().V, truth.features
        for k in range(8):
            coder.template[k] = features[int((first[0] == k).nonzero()[0])]
    # By chance a random template of few channels may be near to another symmetry; not these.
    assert coder.merge() == 7
    assert coder.stabilisers == MIXED
    assert coder.merge() == 0
    assert torch.allclose(coder.untied().V, features, atol=1e-5)


def test_training_continues_exactly_across_a_merge(tmp_path):
    planted = planted_orbits("D4", 16, {"C1": 1, "C2": 1, "G": 2}, samples=500, l0=2, seed=0)

    def trainer():
        coder = TiedCrosscoder("D4", 16, 6, k=2, encode_from="orbit")
        config = TrainConfig(**{**vars(FAST), "steps": 500, "lr": 3e-3, "precision": "float32"})
        return Trainer(coder, ShuffledBatches(planted.A, np.arange(500), 64, 0), config)

    whole = trainer()
    for _ in range(350):
        whole.advance()
    assert any(name != "C1" for name in whole.coder.stabilisers)
    part = trainer()
    for _ in range(345):
        part.advance()
    part.save(tmp_path / "checkpoint.safetensors")
    resumed = trainer()
    resumed.restore(tmp_path / "checkpoint.safetensors")
    for _ in range(5):
        resumed.advance()
    assert resumed.coder.stabilisers == whole.coder.stabilisers
    assert torch.equal(resumed.coder.template, whole.coder.template)


def test_it_trains_evaluates_and_is_fitted_once(tmp_path):
    planted = planted_orbits("D4", 16, 1, samples=600, l0=2, seed=0)
    made = []
    for _ in range(2):
        coder = TiedCrosscoder("D4", 16, 6, k=2)
        made.append(
            fit(
                tmp_path / "tied.safetensors",
                coder,
                planted.A,
                np.arange(500),
                planted.A[500:],
                FAST,
                data_checksum="x",
                progress=False,
            )[0]
        )
    assert torch.equal(made[0].V, made[1].V)  # the second was read
    found = evaluate(made[0], planted.A[500:], planted.A[:500].mean(0))
    assert found.features == made[0].config.features and 0 < found.fvu < 1.2


def test_it_finds_a_planted_dictionary_and_its_symmetries():
    planted = planted_orbits("D4", 32, 2, samples=700, l0=3, seed=2)
    seen, held_out = planted.split(200)
    coder = TiedCrosscoder("D4", 32, 20, k=3, encode_from="orbit")
    config = TrainConfig(steps=600, batch_size=128, merge_every=25, lr=3e-3, evaluate_every=600)
    train(coder, seen.A, np.arange(500), held_out.A, config, progress=False)
    one = coder.fold()
    codes = one.encode(held_out.A)
    found = recovery(
        held_out, one.V, families=one.family.numpy(), codes=codes, used=(codes > 0).any(0)
    )
    assert found.cosine_max > 0.95, found
    assert found.stabiliser_exact > 0.9, found
    assert found.ari > 0.9, found
    assert found.code_correlation > 0.9, found


def test_mistakes_are_named():
    with pytest.raises(UserError, match="0 families"):
        TiedCrosscoder("D4", 8, 0)
    with pytest.raises(UserError, match="2 stabilisers for 3 families"):
        TiedCrosscoder("D4", 8, 3, k=2, stabilisers=["C1", "C2"])
    with pytest.raises(UserError, match="unknown stabiliser 'D3'"):
        TiedCrosscoder("D4", 8, 3, k=2, stabilisers="D3")
    with pytest.raises(UserError, match="k = 9 active features of 8"):
        TiedCrosscoder("D4", 8, 1, k=9)


def test_families_are_read_from_a_text():
    assert parse_families("3") == ["C1"] * 3
    assert parse_families("C1:1 D2@45:2, G:1") == ["C1", "D2@45", "D2@45", "G"]
    for wrong in ("many", "C1:x", "", "0", "-1"):
        with pytest.raises(UserError, match="families"):
            parse_families(wrong)
