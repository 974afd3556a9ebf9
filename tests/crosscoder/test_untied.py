"""The crosscoder is the function that its docstring writes down, wherever it is evaluated."""

import json
import re

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.groups import group

KINDS = [(s, e) for s in ("l1", "topk", "batchtopk") for e in ("identity", "orbit")]


def orbits(count=200, name="D4", channels=12, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(count, group(name).order, channels, generator=draw) * 5 + 3


@pytest.fixture(params=KINDS, ids=["-".join(k) for k in KINDS])
def coder(request):
    """A crosscoder with every weight in use."""
    sparsity, encode_from = request.param
    coder = GroupCrosscoder("D4", 12, 40, sparsity=sparsity, k=6, encode_from=encode_from)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        coder.b_enc.copy_(0.1 * torch.randn(40, generator=draw))
        coder.b_dec.copy_(torch.randn(8, 12, generator=draw))
        coder.V.mul_(0.5 + torch.rand(40, 1, 1, generator=draw))
    coder.normalise(orbits())
    coder.calibrate(orbits(seed=2))
    return coder


def test_it_is_its_formula(coder):
    """Encoder and decoder written out with loops; biases are added once."""
    A = orbits(5, seed=3)
    x = (A - coder.mean) / coder.scale
    views = 1 if coder.config.encode_from == "identity" else 8
    pre = coder.b_enc.clone().repeat(5, 1)
    for g in range(views):
        pre += x[:, g] @ coder.W_enc[:, g].T
    f = coder.encode(A)
    on = f > 0
    assert torch.allclose(f[on], pre[on], atol=1e-5) and on.any()
    expected = torch.stack([coder.V[:, g].T @ f.T for g in range(8)]).permute(2, 0, 1)
    expected = (expected + coder.b_dec) * coder.scale + coder.mean
    assert torch.allclose(coder.decode(f), expected, atol=1e-4)


def test_choice_of_features_is_by_their_share_of_the_reconstruction():
    coder = GroupCrosscoder("C4", 6, 20, sparsity="topk", k=3)
    A = orbits(50, "C4", 6)
    f = coder.encode(A)
    pre = coder.pre_activations(coder.normalised(A)).relu()
    for sample, full in zip(f, pre, strict=True):
        strongest = set((full * coder.norms).topk(3).indices.tolist())
        assert set(sample.nonzero().flatten().tolist()) <= strongest


@pytest.mark.parametrize("sparsity", ["topk", "batchtopk"])
def test_moving_scale_between_decoder_and_code_changes_nothing(sparsity):
    coder = GroupCrosscoder("C4", 6, 20, sparsity=sparsity, k=3)
    A = orbits(64, "C4", 6)
    coder.normalise(A)
    coder.calibrate(A)
    before, codes = coder(A), coder.encode(A)
    trained, _ = coder.training_codes((A - coder.mean) / coder.scale)
    with torch.no_grad():
        s = 2.0 ** torch.randint(-3, 4, (20,), generator=torch.Generator().manual_seed(0))
        coder.V.mul_(s[:, None, None])
        coder.W_enc.div_(s[:, None, None])
        coder.b_enc.div_(s)
    assert torch.allclose(coder(A), before, atol=1e-4)
    assert torch.equal(coder.encode(A) > 0, codes > 0)
    again, _ = coder.training_codes((A - coder.mean) / coder.scale)
    assert torch.equal(again > 0, trained > 0)


def test_batchtopk_keeps_k_a_sample_over_the_batch_in_training(coder):
    if coder.config.sparsity == "l1":
        pytest.skip("l1 has no k")
    A = (orbits(100, seed=5) - coder.mean) / coder.scale
    f, _ = coder.training_codes(A)
    counts = (f > 0).sum(1)
    assert counts.float().mean() == 6
    if coder.config.sparsity == "topk":
        assert (counts == 6).all()
    else:
        assert counts.float().std() > 0


def test_l0_is_k_after_calibration_whatever_the_batch(coder):
    if coder.config.sparsity != "batchtopk":
        pytest.skip("only batchtopk has a threshold")
    A = orbits(seed=2)  # what it was calibrated on
    f = coder.encode(A)
    assert (f > 0).float().sum(1).mean() == 6
    alone = torch.cat([coder.encode(A[i : i + 1]) for i in range(len(A))])
    assert torch.equal(f > 0, alone > 0)


def test_a_loaded_file_is_the_same_function(coder, tmp_path):
    A = orbits(300, seed=2)
    f, made = coder.encode(A), coder(A)
    coder.save(tmp_path / "c.safetensors", layer="mixed3b")
    loaded = GroupCrosscoder.load(tmp_path / "c.safetensors")
    assert loaded.config == coder.config
    # Of 12,000 codes one may lie so near the threshold that rounding decides.
    flipped = ((loaded.encode(A) > 0) != (f > 0)).any(1)
    assert flipped.sum() <= 1
    assert torch.allclose(loaded.encode(A)[~flipped], f[~flipped], atol=1e-4)
    assert torch.allclose(loaded(A)[~flipped], made[~flipped], atol=1e-4)
    # Folded: the weights in the file act on raw activations.
    assert not loaded.mean.any() and loaded.scale == 1
    assert torch.allclose(loaded.V, coder.V * coder.scale)
    with safe_open(tmp_path / "c.safetensors", "pt") as file:
        assert file.metadata()["layer"] == "mixed3b"
        assert torch.equal(file.get_tensor("normalisation.mean"), coder.mean)
        assert torch.equal(file.get_tensor("normalisation.scale"), coder.scale)
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_saving_leaves_the_crosscoder_as_it_was(coder, tmp_path):
    before = {k: v.clone() for k, v in coder.state_dict().items()}
    coder.save(tmp_path / "c.safetensors")
    for name, value in coder.state_dict().items():
        assert torch.equal(value.nan_to_num(-1), before[name].nan_to_num(-1)), name


def test_normalisation_leaves_the_action_of_the_group_alone():
    coder, A = GroupCrosscoder("D4", 12, 10, k=2), orbits()
    coder.normalise(A)
    x = (A - coder.mean) / coder.scale
    assert torch.allclose(x.square().sum(-1).mean(), torch.ones(()))
    assert coder.mean.shape == (12,) and coder.scale.shape == ()


def test_encoder_starts_as_the_decoder():
    for views, encode_from in ((1, "identity"), (8, "orbit")):
        coder = GroupCrosscoder("D4", 12, 10, k=2, encode_from=encode_from)
        assert torch.equal(coder.W_enc, coder.V[:, :views])


def test_on_the_trivial_group_it_is_a_sparse_autoencoder():
    sae = GroupCrosscoder("C1", 12, 40, k=6)
    x = orbits()[:, 0]
    sae.calibrate(x[:, None])
    assert torch.equal(sae.encode(x), sae.encode(x[:, None]))
    f = sae.encode(x)
    assert torch.allclose(sae.decode(f)[:, 0], f @ sae.V[:, 0] + sae.b_dec, atol=1e-5)


def test_mistakes_are_named(tmp_path):
    with pytest.raises(UserError, match="unknown sparsity 'batchtop'; did you mean 'batchtopk'"):
        GroupCrosscoder("D4", 12, 40, sparsity="batchtop")
    with pytest.raises(UserError, match="unknown encoder input 'orbits'; did you mean 'orbit'"):
        GroupCrosscoder("D4", 12, 40, encode_from="orbits")
    with pytest.raises(UserError, match="k = 50 active features of 40"):
        GroupCrosscoder("D4", 12, 40, k=50)
    coder = GroupCrosscoder("D4", 12, 40, k=5)
    with pytest.raises(UserError, match="no threshold yet"):
        coder.encode(orbits())
    with pytest.raises(UserError, match=r"shape \(200, 8, 13\)"):
        coder.encode(orbits(channels=13))
    with pytest.raises(UserError, match="nothing to learn"):
        coder.normalise(torch.ones(5, 8, 12))
    with pytest.raises(UserError, match=f"no crosscoder at {re.escape(str(tmp_path))}"):
        GroupCrosscoder.load(tmp_path / "missing.safetensors")
    (tmp_path / "text.safetensors").write_text("not a tensor in sight")
    with pytest.raises(UserError, match="not a safetensors file"):
        GroupCrosscoder.load(tmp_path / "text.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors", {"format": json.dumps(1)})
    with pytest.raises(UserError, match="is no crosscoder"):
        GroupCrosscoder.load(tmp_path / "other.safetensors")
