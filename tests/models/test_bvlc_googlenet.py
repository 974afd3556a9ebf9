"""BVLC GoogLeNet: Caffe's geometry and normalisation, and the published weights where at hand.

The environment variable `GC_UTILS_WEIGHTS` names the folder with the published files (`conv1/`,
`conv2/`, … in it), or the folder above it, which then holds `bvlc_googlenet/`. Without it the tests
of the published weights are skipped; those of the reading, the geometry and the normalisation run
on a narrow network with random weights in the same files.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gc_utils._torchvision import torchvision
from gc_utils.images import load_images
from gc_utils.models import BVLC_GOOGLENET, INCEPTION5H, InceptionV1, Norm, load_model
from gc_utils.models.raw_files import bvlc_googlenet

MIXED = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")


def caffe_googlenet(folder, x):
    """Blobs of the published network definition, by the names that layers have here.

    Args:
        folder: with the raw files.
        x: RGB in [0, 1], (B, 3, H, W).
    """

    def conv(x, name, **geometry):
        bias = torch.from_numpy(np.fromfile(folder / f"{name}_bias.bin", "<f4"))
        filters = torch.from_numpy(np.fromfile(folder / f"{name}_filter.bin", "<f4"))
        side = round((filters.numel() / len(bias) / x.shape[1]) ** 0.5)
        filters = filters.view(len(bias), side, side, x.shape[1]).permute(0, 3, 1, 2)
        return F.conv2d(x, filters, bias, **geometry)

    def pool(x):
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    def normalise(x):  # as in Caffe, alpha is divided by the size here
        return F.local_response_norm(x, size=5, alpha=1e-4, beta=0.75, k=1.0)

    x = 255 * x[:, [2, 1, 0]] - torch.tensor([104.0, 117.0, 123.0])[:, None, None]
    blobs = {"conv2d0": conv(x, "conv1/7x7_s2", stride=2, padding=3).relu()}
    blobs["maxpool0"] = pool(blobs["conv2d0"])
    blobs["localresponsenorm0"] = x = normalise(blobs["maxpool0"])
    blobs["conv2d1"] = x = conv(x, "conv2/3x3_reduce").relu()
    blobs["conv2d2"] = x = conv(x, "conv2/3x3", padding=1).relu()
    blobs["localresponsenorm1"] = normalise(x)
    blobs["maxpool1"] = x = pool(blobs["localresponsenorm1"])
    for block in MIXED:
        at = f"inception_{block}"
        branches = [
            conv(x, f"{at}/1x1").relu(),
            conv(conv(x, f"{at}/3x3_reduce").relu(), f"{at}/3x3", padding=1).relu(),
            conv(conv(x, f"{at}/5x5_reduce").relu(), f"{at}/5x5", padding=2).relu(),
            conv(F.max_pool2d(x, 3, 1, padding=1), f"{at}/pool_proj").relu(),
        ]
        blobs[f"mixed{block}"] = x = torch.cat(branches, 1)
        if block in ("3b", "4e"):
            blobs["maxpool4" if block == "3b" else "maxpool10"] = x = pool(x)
    if min(x.shape[-2:]) >= 7:
        blobs["avgpool"] = F.avg_pool2d(x, 7, 1)
        blobs["logits"] = conv(blobs["avgpool"], "loss3/classifier")
    return blobs


def noise(count, *size, seed=0):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def close(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


def network_of(small, **options):
    state = small.weights.from_folder(small.folder, "logits")
    network = InceptionV1.from_state_dict(state, architecture=small.architecture, **options)
    return network.eval().requires_grad_(False)


# ------------------------------------------------------------- any weights of this architecture


@pytest.mark.parametrize("size", [(224, 224), (93, 93), (94, 99), (100, 101), (227, 226)])
def test_the_network_is_caffes_layer_by_layer(small, size):
    """Sides of all remainders: where Caffe rounds a pool's size up, and where it need not."""
    network, x = network_of(small), noise(2, *size)
    blobs = caffe_googlenet(small.folder, x)
    assert ("logits" in blobs) == (min(size) >= 224)
    for layer, expected in blobs.items():
        close(network(x, layer), expected)
        assert (expected > 0).any()


def test_the_comparison_would_notice_another_normalisation_padding_or_input(small):
    x = noise(2, 93, 93)
    expected = caffe_googlenet(small.folder, x)["mixed3b"]
    for wrong in (Norm(), small.architecture.norm._replace(alpha=1e-4)):
        assert (network_of(small, norm=wrong)(x, "mixed3b") - expected).abs().max() > 1
    network = network_of(small)
    for changed in (x.flip(1), x + 0.05, x.roll(1, -1)):
        assert (network(changed, "mixed3b") - expected).abs().max() > 1


def test_ceil_mode_pools_are_a_column_of_minus_infinity():
    """For every length, Caffe's rounding up reads what a pool with one more column reads."""
    assert all(
        (s.before, s.after) == (0, 1)
        for s in BVLC_GOOGLENET.steps.values()
        if s.kind == "maxpool" and s.stride == 2
    )
    for length in range(2, 40):
        x = -noise(1, length, length)
        padded = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")), 3, 2)
        assert torch.equal(F.max_pool2d(x, 3, 2, ceil_mode=True), padded)


@pytest.mark.parametrize("layer", ["conv2d0", "maxpool0", "conv2d2", "mixed3b", "mixed4b_5x5"])
@pytest.mark.parametrize("side", [270, 271, 277])
def test_a_crop_shows_a_unit_the_same_as_the_frame(small, layer, side):
    network, frame = network_of(small), noise(2, side, side, seed=1)
    field = small.architecture.receptive_field(layer)
    half = (field.crop_size - 1) // 2
    k = -(-(half - field.offset) // field.stride) + 1
    centre = field.offset + field.stride * k
    window = slice(centre - half, centre + half + 1)
    assert window.start >= 0 and window.stop <= side
    close(network.unit(frame[..., window, window], layer), network(frame, layer)[..., k, k])


def test_the_lattice_lies_one_pixel_from_inception5hs():
    assert BVLC_GOOGLENET.receptive_field("mixed3b") == (91, 8, 6)
    assert BVLC_GOOGLENET.crop_size("mixed3b") == 93
    for layer in INCEPTION5H.layers:
        size, stride, offset = INCEPTION5H.receptive_field(layer)
        assert BVLC_GOOGLENET.receptive_field(layer) == (size, stride, offset - 1)


def test_widths_that_differ_from_inception5hs():
    """Shapes alone cannot tell the two networks apart below mixed4a; names can."""
    ours, theirs = (a.parameters("logits") for a in (BVLC_GOOGLENET, INCEPTION5H))
    assert not ours.keys() & theirs.keys() and len(ours) == len(theirs) == 116
    pairs = zip(ours.items(), theirs.values(), strict=True)
    different = [name for (name, shape), other in pairs if shape != other]
    assert different[0] == "inception_4a/3x3.weight"
    assert BVLC_GOOGLENET.layers["mixed4a"] == 512 and INCEPTION5H.layers["mixed4a"] == 508
    assert BVLC_GOOGLENET.steps["mixed5a_5x5_bottleneck"].channels == 32
    assert BVLC_GOOGLENET.layers["logits"] == 1000
    assert bvlc_googlenet().sums.keys() == {bvlc_googlenet().file_of(name) for name in ours}


def test_gradients_reach_the_image_through_the_reversed_channels(small):
    x = noise(1, 93, 93).requires_grad_()
    network_of(small).unit(x, "mixed3b").sum().backward()
    found = x.grad.clone()
    x.grad = None
    caffe_googlenet(small.folder, x)["mixed3b"][..., 5, 5].sum().backward()
    close(found, x.grad, 1e-4)


# ------------------------------------------------------------------------- the published weights


@pytest.fixture(scope="module")
def folder():
    named = os.environ.get("GC_UTILS_WEIGHTS")
    if not named:
        pytest.skip("GC_UTILS_WEIGHTS names no folder with BVLC GoogLeNet's files")
    path = Path(named).expanduser()
    return path if (path / "conv1").is_dir() else path / "bvlc_googlenet"


@pytest.fixture(scope="module")
def published(folder):
    return load_model("inceptionv1", "bvlc_googlenet", folder, device="cpu")


@pytest.fixture(scope="module")
def photographs():
    """As ImageNet is looked at: the shorter side 256 pixels, of that the middle 224."""
    found = {}
    for photograph in load_images("photos"):
        image = photograph.load()
        size = [round(256 * side / min(image.shape[1:])) for side in image.shape[1:]]
        image = F.interpolate(image[None], size, mode="bilinear", antialias=True)
        top, left = ((side - 224) // 2 for side in size)
        found[photograph.name] = image[..., top : top + 224, left : left + 224].clamp(0, 1)
    return found


SHOWN = {"chelsea": "Egyptian cat", "coffee": "espresso", "rocket": "missile", "china": "palace"}
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = torchvision.models.GoogLeNet_Weights.IMAGENET1K_V1.meta["categories"]


def test_the_published_network_is_caffes_on_photographs(folder, published, photographs):
    x = torch.cat([photographs["chelsea"], photographs["china"]])
    with torch.no_grad():
        blobs = caffe_googlenet(folder, x)
        for layer in ("conv2d0", "maxpool1", "mixed3a", "mixed3b", "mixed4e", "mixed5b", "logits"):
            close(published.activations(x, layer), blobs[layer], 1e-4)
    crop = x[..., 64:157, 64:157]  # around pixel 110, where unit 13 is
    close(published.unit(crop, "mixed3b"), blobs["mixed3b"][..., 13, 13], 1e-4)


@pytest.mark.parametrize("name, label", SHOWN.items())
def test_it_names_what_the_bundled_photographs_show(published, photographs, name, label):
    logits = published.activations(photographs[name], "logits").flatten()
    assert CLASSES[logits.argmax()] == label


def test_torchvisions_googlenet_sees_much_the_same(published, photographs):
    """Another training of the architecture (batch normalisation, 3x3 for 5x5 kernels)."""
    cached = Path(torch.hub.get_dir()) / "checkpoints"
    entry = torchvision.models.GoogLeNet_Weights.IMAGENET1K_V1
    if not (cached / Path(entry.url).name).is_file():
        pytest.skip("torchvision's googlenet is not in torch's cache")
    theirs = load_model("googlenet", "IMAGENET1K_V1", device="cpu")
    untrained = load_model("googlenet", "random", device="cpu")
    assert theirs.channels("inception3b") == published.channels("mixed3b") == 480
    assert theirs.receptive_field("inception3b").stride == 8
    x = torch.cat([photographs[name] for name in SHOWN])

    def alike(model):
        """Mean over our units of the best correlation with one of the model's."""
        ours = published.activations(x, "mixed3b").movedim(1, 0).flatten(1)
        other = model.activations(x, "inception3b").movedim(1, 0).flatten(1)
        both = torch.corrcoef(torch.cat([ours, other])).nan_to_num()
        return both[: len(ours), len(ours) :].amax(1).mean()

    assert alike(theirs) > alike(untrained) + 0.05
    with torch.no_grad():
        mean, std = (torch.tensor(v)[:, None, None] for v in IMAGENET)
        named = theirs.network((x - mean) / std).argmax(1)
    assert CLASSES[named[0]] in ("Egyptian cat", "tabby", "tiger cat")
    assert CLASSES[named[1]] in ("espresso", "cup", "coffee mug")
