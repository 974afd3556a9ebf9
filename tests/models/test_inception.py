"""InceptionV1: the same network as the public one, seen exactly where the table of steps says."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import gc_utils
from gc_utils.errors import UserError
from gc_utils.models import (
    BVLC_GOOGLENET,
    INCEPTION5H,
    InceptionV1,
    Norm,
    local_response_norm,
)

LAYERS = INCEPTION5H.layers
crop_size, receptive_field = INCEPTION5H.crop_size, INCEPTION5H.receptive_field
WEIGHTS = Path(gc_utils.__file__).parent / "weights"
STEM = ["conv2d0", "maxpool0", "conv2d2", "maxpool1", "mixed3a", "mixed3b", "mixed3b_5x5"]
LUCENT_NORM = Norm(radius=4, bias=1.0, alpha=9.99999974738e-05 / 9, beta=0.5)


@pytest.fixture(scope="module")
def network():
    return InceptionV1(seed=1).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def stem():
    return InceptionV1("mixed3b", seed=2).eval().requires_grad_(False)


def images(count, size, seed=0):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def close(a, b, tolerance=1e-5):
    assert a.shape == b.shape
    assert (a - b).abs().max() <= tolerance * b.abs().max()


# ------------------------------------------------------------------------------ the network


def test_channels_and_sizes_of_all_layers_on_a_frame_of_224(network):
    x = images(1, 224)
    sizes = {"conv2d0": 112, "conv2d2": 56, "mixed3b": 28, "mixed4e": 14, "mixed5b": 7, "logits": 1}
    for layer, size in sizes.items():
        assert network(x, layer).shape == (1, LAYERS[layer], size, size)
    assert [LAYERS[f"mixed{n}"] for n in ("3a", "3b", "4a", "5b")] == [256, 480, 508, 1024]
    assert network(x).shape == (1, 1008, 1, 1)


def test_the_network_is_lucents_layer_by_layer(network):
    lucent = pytest.importorskip("lucent.modelzoo.inceptionv1.InceptionV1", exc_type=ImportError)
    oracle = lucent.InceptionV1(redirected_ReLU=False).eval()
    oracle.load_state_dict(network.state_dict())  # strict: the names and shapes are the same
    seen = {}
    for name, module in oracle.named_modules():
        module.register_forward_hook(lambda m, i, output, name=name: seen.update({name: output}))
    ours = InceptionV1.from_state_dict(network.state_dict(), norm=LUCENT_NORM)
    x = images(1, 224)
    with torch.no_grad():
        oracle(255 * x - 117)
        compared = [name for name in ours.layers if name in seen]
        assert len(compared) >= 9 * 8  # every mixed block and its branches among them
        for name in compared:
            close(ours(x, name), seen[name])
        close(ours(x).flatten(1), seen["softmax2_pre_activation_matmul"])


def test_normalisation_is_tensorflows_formula():
    x = 30 * torch.randn(2, 20, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.empty_like(x)
    for c in range(20):
        power = x[:, max(0, c - 5) : c + 6].square().sum(1)
        expected[:, c] = x[:, c] / (2 + 1e-4 * power) ** 0.5
    close(local_response_norm(x, Norm()), expected)
    torch_form = torch.nn.functional.local_response_norm(x, size=11, alpha=11e-4, beta=0.5, k=2)
    close(local_response_norm(x, Norm()), torch_form)


def test_a_block_is_its_branches(stem):
    x = images(2, 95)
    branches = [stem(x, f"mixed3b_{b}") for b in ("1x1", "3x3", "5x5", "pool_reduce")]
    assert [b.shape[1] for b in branches] == [128, 192, 96, 64]
    assert torch.equal(torch.cat(branches, 1), stem(x, "mixed3b"))
    assert stem(x, "mixed3b_5x5_bottleneck").shape[1] == 32
    assert all((b >= 0).all() for b in branches)  # after the ReLU


# ------------------------------------------------------------------------- where a unit looks


def test_receptive_fields_of_the_stem():
    assert receptive_field("mixed3a") == (59, 8, 7)
    assert receptive_field("mixed3b") == (91, 8, 7)
    assert receptive_field("mixed3b_1x1") == receptive_field("mixed3a")
    assert crop_size("mixed3b") == 95
    assert [crop_size(layer) for layer in LAYERS] == sorted(crop_size(layer) for layer in LAYERS)


@pytest.mark.parametrize(
    ("architecture", "layer"),
    [
        *((INCEPTION5H, layer) for layer in (*STEM, "mixed4a", "mixed4a_pool_reduce")),
        *((BVLC_GOOGLENET, layer) for layer in ("conv2d0", "maxpool1", "mixed3b", "mixed4a")),
    ],
)
def test_a_unit_sees_its_receptive_field_and_nothing_else(architecture, layer):
    # Positive weights and no ReLU at zero: the gradient is non-zero wherever a unit looks. A max
    # pool passes it on to one pixel only, so each is replaced by a mean over the same window.
    size, stride, offset = architecture.receptive_field(layer)
    seer = InceptionV1(layer, architecture=architecture).double()
    for weight in seer.parameters():
        torch.nn.init.constant_(weight, 0.01)
    compute = seer._compute

    def mean_for_max(step, inputs):
        if step.kind == "maxpool":
            finite = inputs[0].masked_fill(inputs[0].isinf(), 0)
            return torch.nn.functional.avg_pool2d(finite, step.size, step.stride)
        return compute(step, inputs)

    seer._compute = mean_for_max
    k = -(-(size // 2) // stride)
    x = torch.full((1, 3, offset + stride * k + size, offset + stride * k + size), 0.9).double()
    x.requires_grad_()
    seer(x, layer)[0, :, k, k].sum().backward()
    rows = x.grad[0].abs().sum((0, 2)).nonzero().flatten()
    assert (rows.min().item(), rows.max().item()) == (
        offset + stride * k - size // 2,
        offset + stride * k + size // 2,
    )


@pytest.mark.parametrize("layer", STEM)
def test_a_crop_shows_a_unit_the_same_as_the_frame(stem, layer):
    _, stride, offset = receptive_field(layer)
    size = crop_size(layer)
    k = 13
    corner = offset + stride * k - size // 2
    if corner < 0:
        corner, k = 0, (size // 2 - offset) // stride
    frame = images(2, 224)
    crop = frame[..., corner : corner + size, corner : corner + size]
    in_crop = (size // 2 - offset) // stride
    expected = stem(frame, layer)[:, :, k, k]
    close(stem(crop, layer)[:, :, in_crop, in_crop], expected)
    close(stem.unit(crop, layer), expected)


def test_on_95_pixels_the_unit_in_the_middle_is_number_5(stem):
    x = images(2, 95)
    close(stem.unit(x, "mixed3b"), stem(x, "mixed3b")[:, :, 5, 5])


def test_the_unit_of_a_larger_crop_is_at_its_centre_too(stem):
    x = images(1, 111)
    close(stem.unit(x, "mixed3b"), stem(x, "mixed3b")[:, :, 6, 6])


def test_images_need_not_be_square(stem):
    frame = images(1, 224)
    wide = stem(frame[..., :100, :], "mixed3b")
    assert wide.shape == (1, 480, 12, 28)
    close(wide[:, :, :6], stem(frame, "mixed3b")[:, :, :6])  # far from where the frame was cut


# ----------------------------------------------------------------------------------- weights


def test_weights_of_the_stem_make_a_network_that_ends_there(network, stem):
    again = InceptionV1.from_state_dict(stem.state_dict())
    assert again.top == "mixed3b" and again.layers[-1] == "mixed3b"
    assert torch.equal(again(images(1, 95)), stem(images(1, 95)))
    with pytest.raises(UserError, match="'mixed4a' is above 'mixed3b'.*inception5h"):
        again(images(1, 224), "mixed4a")
    assert InceptionV1.from_state_dict(network.state_dict()).top == "logits"


def test_half_precision_weights_compute_in_float32(stem):
    half = {name: value.half() for name, value in stem.state_dict().items()}
    assert InceptionV1.from_state_dict(half)(images(1, 95)).dtype == torch.float32


def test_weights_with_a_hole_or_a_stranger_are_refused(stem):
    state = stem.state_dict()
    with pytest.raises(UserError, match="reach 'mixed3a' and go on with mixed3b_1x1"):
        InceptionV1.from_state_dict(
            {n: v for n, v in state.items() if n != "mixed3b_5x5_pre_relu_conv.bias"}
        )
    with pytest.raises(UserError, match="fc.weight"):
        InceptionV1.from_state_dict({**state, "fc.weight": torch.zeros(3)})
    with pytest.raises(UserError, match="no layer"):
        InceptionV1.from_state_dict({})
    with pytest.raises(UserError, match=r"shape \(2, 2\)"):
        InceptionV1.from_state_dict({**state, "conv2d0_pre_relu_conv.weight": torch.zeros(2, 2)})


def test_random_weights_come_from_the_seed():
    one, same, other = (InceptionV1("mixed3a", seed=s).state_dict() for s in (3, 3, 4))
    name = "mixed3a_3x3_pre_relu_conv.weight"
    assert torch.equal(one[name], same[name])
    assert not torch.equal(one[name], other[name])


# ---------------------------------------------------------------------------------- mistakes


def test_mistakes_are_named_with_the_nearest_choice(stem):
    with pytest.raises(UserError, match="unknown layer 'mixed3c'; did you mean 'mixed"):
        stem(images(1, 95), "mixed3c")
    with pytest.raises(UserError, match="did you mean 'mixed3b_5x5'"):
        receptive_field("mixed3b_5x6")
    with pytest.raises(UserError, match="96x96 pixels; give it 95x95"):
        stem.unit(images(1, 96), "mixed3b")
    with pytest.raises(UserError, match="97x97"):
        stem.unit(images(1, 97), "mixed3b")
    with pytest.raises(UserError, match="20 pixels is too small for layer 'logits'"):
        InceptionV1()(images(1, 20))


@pytest.mark.parametrize("architecture", [INCEPTION5H, BVLC_GOOGLENET])
def test_every_step_reads_steps_before_it(architecture):
    known = {"input"}
    for name, step in architecture.steps.items():
        assert set(step.inputs) <= known
        known.add(name)


# ------------------------------------------------------------------------------ demo weights


@pytest.fixture(scope="module")
def demo():
    with safe_open(WEIGHTS / "demo.safetensors", "pt") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}


def test_the_demo_weights_are_the_stem_in_half_precision(demo):
    metadata, state = demo
    assert (WEIGHTS / "demo.safetensors").stat().st_size < 2e6
    assert {value.dtype for value in state.values()} == {torch.float16}
    assert all(value.isfinite().all() for value in state.values())
    assert {"recipe", "version", "seed", "steps"} <= metadata.keys()
    network = InceptionV1.from_state_dict(state)
    assert network.top == "mixed3b"
    with torch.no_grad():
        units = network(images(2, 224))
    assert 0.1 < units[units > 0].mean() < 100 and units.max() < 6e4  # fits float16


@pytest.mark.slow
def test_the_demo_weights_have_units_worth_looking_into(demo, monkeypatch):
    monkeypatch.syspath_prepend(WEIGHTS.parents[1] / "tools" / "demo_weights")
    from demo_scores import preferences, stimulus_responses

    shown = stimulus_responses(InceptionV1.from_state_dict(demo[1]))
    scores, by_mean = preferences(*shown), preferences(*shown, by="radius")
    assert scores["1.5 times"]["curve"] >= 25
    assert scores["best"][["line", "edge"]].min() >= 60
    assert by_mean["1.5 times"]["edge"] >= 40
    assert scores["best: gap"].max() <= 45
    assert scores["1.5 times"][["colour_contrast", "centre_surround"]].min() >= 5
