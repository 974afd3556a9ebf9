"""Models by name: what they compute, where their units look, and what mistakes are told."""

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from gc_utils import downloads
from gc_utils._torchvision import torchvision
from gc_utils.errors import UserError
from gc_utils.files import git_blob_id
from gc_utils.models import (
    INCEPTION5H,
    InceptionV1,
    available_weights,
    choose_layers,
    load_model,
    pick_device,
    probe_receptive_field,
)
from gc_utils.models import torchvision as _torchvision_models
from gc_utils.models import weights as _weights
from gc_utils.models.torchvision import published_hash


@pytest.fixture(scope="module")
def random_model():
    return load_model(weights="random", device="cpu")


@pytest.fixture(scope="module")
def googlenet():
    return load_model("googlenet", weights="random", device="cpu")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache folder, as torch looks for it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A small network published as inception5h.pth under a file:// address."""
    path = tmp_path / "published.pth"
    torch.save(InceptionV1("mixed3a", seed=5).state_dict(), path)
    monkeypatch.setattr(_weights, "INCEPTION5H_URL", path.as_uri())
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    monkeypatch.setattr(_weights, "INCEPTION5H_BLOB", git_blob_id(path.read_bytes()))
    return path


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------- what a model computes


@pytest.mark.parametrize("layer", ["conv2d2", "mixed3a", "mixed3b", "mixed3b_5x5"])
def test_unit_is_the_one_at_the_centre_of_the_crop(random_model, layer):
    """A crop of `crop_size` gives the same number as the whole picture that it was cut from."""
    size, stride, offset = random_model.receptive_field(layer)
    crop = random_model.crop_size(layer)
    frame, k = noise(1, 3, 160, 160), 9
    centre = offset + stride * k
    half = (crop - 1) // 2
    window = slice(centre - half, centre + half + 1)
    expected = random_model.activations(frame, layer)[..., k, k]
    larger = slice(centre - half - 3, centre + half + 4)
    for w in (window, larger):  # activations are in the hundreds
        found = random_model.unit(frame[..., w, w], layer)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    assert crop % 2 == 1 and crop >= size and expected.shape == (1, random_model.channels(layer))


def test_crop_size_is_inceptions_own(random_model):
    assert random_model.crop_size("mixed3b") == 95
    for layer in random_model.layers:
        assert random_model.crop_size(layer) == INCEPTION5H.crop_size(layer)


@pytest.mark.parametrize("call", ["activations", "unit"])
def test_gradients_reach_the_image_and_nothing_else(random_model, call):
    x = noise(1, 3, 63, 63)
    assert not getattr(random_model, call)(x, "mixed3a").requires_grad
    x.requires_grad_()
    getattr(random_model, call)(x, "mixed3a").sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None for p in random_model.network.parameters())


def test_random_weights_are_given_by_their_seed():
    one, same, other = (load_model(weights="random", seed=s, device="cpu") for s in (1, 1, 2))
    assert one.checksum == same.checksum != other.checksum
    before = torch.random.get_rng_state()
    one, same, other = (
        load_model("squeezenet1_1", weights="random", seed=s, device="cpu") for s in (1, 1, 2)
    )
    assert one.checksum == same.checksum != other.checksum
    assert torch.equal(before, torch.random.get_rng_state())


def test_demo_weights_reach_mixed3b():
    model = load_model(device="cpu")
    assert (model.name, model.weights) == ("inceptionv1", "demo")
    assert model.layers[-1] == "mixed3b" and model.channels("mixed3b") == 480
    a = model.unit(noise(4, 3, 95, 95), "mixed3b")
    assert a.shape == (4, 480) and a.dtype == torch.float32 and a.std() > 0
    assert all(p.dtype == torch.float32 for p in model.network.parameters())
    row = next(r for r in available_weights() if r.weights == "demo")
    assert row.checksum == f"sha256 {model.checksum}" and row.status == "in the package"
    with pytest.raises(UserError, match="'mixed4a' is above 'mixed3b', where the weights 'demo'"):
        model.activations(noise(1, 3, 224, 224), "mixed4a")


def test_filter_bank_is_a_model():
    model = load_model("filter_bank", group="D4", device="cpu")
    bank = model.network
    assert model.layers == ("filters",) and model.channels("filters") == len(bank.kinds)
    assert model.crop_size("filters") == model.receptive_field("filters").size
    torch.testing.assert_close(
        model.unit(bank.patterns, "filters").diagonal(), torch.ones(len(bank.kinds))
    )
    frame = noise(1, 3, 60, 60)
    size, stride, offset = model.receptive_field("filters")
    corner = offset + 2 * stride - (size - 1) // 2
    crop = frame[..., corner : corner + size, corner : corner + size]
    expected = model.activations(frame, "filters")[..., 2, 2]
    torch.testing.assert_close(model.unit(crop, "filters"), expected)
    assert model.checksum != load_model("filter_bank", group="D8", device="cpu").checksum
    with pytest.raises(UserError, match="do not fit 60x20"):
        model.activations(frame[..., :20], "filters")


# -------------------------------------------------------------------------------- torchvision


def test_torchvision_receptive_field_by_gradient(googlenet):
    """With positive weights, and means for maxima, a gradient reaches every pixel that is seen."""
    size, stride, offset = googlenet.receptive_field("inception3a")
    net = torchvision.models.get_model("googlenet", weights=None, init_weights=False).eval()
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                mean = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(module, name, mean)
    for parameter in net.parameters():
        parameter.data = parameter.data.abs() + 0.1
    cut = torchvision.models.feature_extraction.create_feature_extractor
    part = cut(net, ["inception3a"], suppress_diff_warning=True)
    x = torch.rand(1, 3, 96, 96, requires_grad=True)
    k = 5
    part.eval()(x)["inception3a"][0, :, k, k].sum().backward()
    for axis in (-1, -2):
        seen = (x.grad != 0).any(1)[0].any(-1 if axis == -2 else -2).nonzero()[:, 0]
        assert len(seen) == size == int(seen[-1] - seen[0]) + 1
        assert (seen[0] + seen[-1]) / 2 == offset + stride * k


@pytest.mark.parametrize("layer", ["maxpool2", "inception3a", "inception3a.branch3.1.conv"])
def test_torchvision_unit_is_the_one_at_the_centre(googlenet, layer):
    _, stride, offset = googlenet.receptive_field(layer)
    half = (googlenet.crop_size(layer) - 1) // 2
    frame, k = noise(1, 3, 112, 112), 6
    window = slice(offset + stride * k - half, offset + stride * k + half + 1)
    expected = googlenet.activations(frame, layer)[..., k, k]
    torch.testing.assert_close(googlenet.unit(frame[..., window, window], layer), expected)
    assert googlenet.channels(layer) == expected.shape[1]


def test_torchvision_scales_with_imagenets_mean(googlenet):
    """Mid-grey of ImageNet's colours is zero to the network, whose first layer has no bias."""
    grey = torch.tensor([0.485, 0.456, 0.406])[None, :, None, None].expand(1, 3, 32, 32)
    assert googlenet.activations(grey, "conv1.conv").abs().max() < 1e-5


def test_even_kernels_centre_units_between_pixels():
    """ConvNeXt's patches of 4: the crop with a unit at its centre has an even side."""
    model = load_model("convnext_tiny", weights="random", device="cpu")
    layer = "features.0"
    assert model.receptive_field(layer) == (4, 4, 1.5)
    assert model.crop_size(layer) == 4
    frame, k = noise(1, 3, 32, 32), 3
    expected = model.activations(frame, layer)[..., k, k]
    torch.testing.assert_close(model.unit(frame[..., 12:16, 12:16], layer), expected)
    torch.testing.assert_close(model.unit(frame[..., 11:17, 11:17], layer), expected)
    with pytest.raises(UserError, match="4x4 pixels, or larger by an even number"):
        model.unit(noise(1, 3, 5, 5), layer)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "layers, field",
    [
        ([nn.Conv2d(3, 2, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2)], (11, 4, 2)),
        ([nn.Conv2d(3, 2, 3, 3), nn.Conv2d(2, 2, 2, 1)], (6, 3, 2.5)),
        ([nn.Conv2d(3, 2, 3, 1, 2, dilation=2), nn.AvgPool2d(2)], (6, 2, 0.5)),
        ([nn.Conv2d(3, 2, (1, 7), 1, (0, 3))], (7, 1, 0)),
        ([nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3, groups=16), nn.Conv2d(16, 8, 3)], (7, 1, 3)),
    ],
)
def test_probed_receptive_fields(layers, field, dtype):
    assert probe_receptive_field(nn.Sequential(*layers).to(dtype), dtype=dtype) == field


class Half(nn.Module):
    """Looks at twice as fine a picture in its right half."""

    def forward(self, x):
        middle = x.shape[-1] // 2
        right = torch.nn.functional.avg_pool2d(x[..., middle:], 5, 1, 2)
        return torch.cat([x[..., :middle], right], -1)


@pytest.mark.parametrize(
    "layer, why",
    [
        (nn.AdaptiveAvgPool2d(7), "whatever the size"),
        (nn.AdaptiveAvgPool2d(1), "see more than 2048 pixels"),
        (nn.Conv2d(3, 2, 1, 2), "none of its units sees"),
        (Half(), "place to place"),
        (nn.Flatten(), "not a map of units"),
        (nn.Conv2d(3, 2, 3, (1, 2)), "between columns and rows"),
    ],
)
def test_no_receptive_field(layer, why):
    with pytest.raises(UserError, match=why):
        probe_receptive_field(layer.double())


def test_torchvision_mistakes(googlenet):
    with pytest.raises(UserError, match="'inception3bb'; did you mean 'inception3b'.*conv1"):
        googlenet.unit(noise(1, 3, 61, 61), "inception3bb")
    with pytest.raises(UserError, match="did you mean 'inception3a.branch2.0'"):
        googlenet.channels("inception3a.branch2.0.")
    with pytest.raises(UserError, match=r"'fc' of 'googlenet' is not a map .* but \(1, 1000\)"):
        googlenet.activations(noise(1, 3, 224, 224), "fc")
    with pytest.raises(UserError, match="cannot compute 'inception3a' of images of 2x2"):
        googlenet.activations(noise(1, 3, 2, 2), "inception3a")
    with pytest.raises(UserError, match="61x61 pixels, .* these are 59x61"):
        googlenet.unit(noise(1, 3, 59, 61), "inception3b")
    squeezing = load_model("mobilenet_v3_small", weights="random", device="cpu")
    with pytest.raises(UserError, match="'features.1' of .*squeeze-and-excitation"):
        squeezing.crop_size("features.1")
    assert squeezing.activations(noise(1, 3, 64, 64), "features.1").ndim == 4


@pytest.fixture
def squeezenet(hub, monkeypatch):
    """A network in the cache, as torchvision would have published it."""
    made = torchvision.models.squeezenet1_1(weights=None)
    path = hub / Path(torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url).name
    hub.mkdir(parents=True)
    torch.save(made.state_dict(), path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(_torchvision_models, "published_hash", lambda url: sha256[:8])
    return made, path, sha256


@pytest.fixture
def offline(monkeypatch):
    def fail(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    monkeypatch.setattr(urllib.request, "urlopen", fail)


def test_torchvision_weights_come_from_the_cache(squeezenet, offline):
    made, path, sha256 = squeezenet
    model = load_model("squeezenet1_1", device="cpu")
    assert model.weights == "IMAGENET1K_V1" and model.checksum == sha256
    assert torch.equal(model.network.features[0].weight, made.features[0].weight)
    row = next(r for r in available_weights() if r.model == "squeezenet1_1")
    assert row.status == "cached" and row.path == str(path) and model.checksum in row.checksum


def test_torchvision_offline(hub, offline):
    with pytest.raises(UserError, match="cannot download .*no network.*put it at .*squeezenet1_1"):
        load_model("squeezenet1_1", weights="DEFAULT", device="cpu")
    assert not hub.exists() or not list(hub.iterdir())


def test_a_file_in_torchvisions_cache_that_is_another_one_is_not_opened(squeezenet, offline):
    path = squeezenet[1]
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(UserError, match="cannot download .*no network"):
        load_model("squeezenet1_1", device="cpu")


def test_a_pickle_in_torchvisions_cache_is_not_executed(squeezenet, offline, monkeypatch, tmp_path):
    """Even if its first digits were those published: they are few enough to be found again."""
    path = squeezenet[1]
    torch.save({"features.0.weight": Trap(tmp_path / "sprung")}, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(_torchvision_models, "published_hash", lambda url: sha256[:8])
    with pytest.raises(UserError, match="squeezenet1_1.* cannot be read"):
        load_model("squeezenet1_1", device="cpu")
    assert not (tmp_path / "sprung").exists() and "TORCH_FORCE" not in "".join(os.environ)


class Trap:
    """What makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_every_file_of_torchvision_says_what_it_must_be():
    hashed = [
        published_hash(entry.url)
        for name in ("resnet18", "googlenet", "vit_b_16", "convnext_tiny", "alexnet", "swin_t")
        for entry in torchvision.models.get_model_weights(name)
    ]
    assert all(len(digits) >= 8 for digits in hashed)
    assert published_hash("https://elsewhere/resnet.pth") == ""


# ------------------------------------------------------------------------ downloads and files


def test_download_is_checked_cached_and_used_again(hub, published):
    assert next(r for r in available_weights() if r.weights == "inception5h").status != "cached"
    model = load_model(weights="inception5h", device="cpu")
    assert model.weights == "inception5h" and model.layers[-1] == "mixed3a"
    assert model.checksum == hashlib.sha256(published.read_bytes()).hexdigest()
    assert [p.name for p in hub.iterdir()] == ["inception5h.pth"]
    published.unlink()  # the network is gone
    assert load_model(weights="inception5h", device="cpu").checksum == model.checksum
    assert next(r for r in available_weights() if r.weights == "inception5h").status == "cached"


def test_damaged_cache_is_fetched_again(hub, published):
    hub.mkdir(parents=True)
    (hub / "inception5h.pth").write_bytes(published.read_bytes()[:-1])
    load_model(weights="inception5h", device="cpu")
    assert (hub / "inception5h.pth").read_bytes() == published.read_bytes()


def test_damaged_download_leaves_nothing(hub, published):
    expected = _weights.INCEPTION5H_BLOB
    published.write_bytes(published.read_bytes()[:-1])
    found = git_blob_id(published.read_bytes())
    with pytest.raises(UserError, match=f"git blob id is {found}, not {expected}"):
        load_model(weights="inception5h", device="cpu")
    assert list(hub.glob("*")) == []


def test_offline_says_where_to_get_it(hub, published):
    published.unlink()
    with pytest.raises(UserError) as error:
        load_model(weights="inception5h", device="cpu")
    for said in (_weights.INCEPTION5H_URL, _weights.INCEPTION5H_BLOB, "--weights-file", str(hub)):
        assert said in str(error.value)
    assert list(hub.glob("*")) == []


def test_a_copy_at_hand(hub, published, tmp_path):
    model = load_model(weights_file=published, device="cpu")
    assert model.weights == "inception5h" and not hub.exists()
    other = tmp_path / "other.pth"
    torch.save({}, other)
    found = git_blob_id(other.read_bytes())
    with pytest.raises(UserError, match=f"{found}, expected {_weights.INCEPTION5H_BLOB}"):
        load_model(weights_file=other, device="cpu")
    with pytest.raises(UserError, match="no weights file '.*absent.pth'"):
        load_model(weights_file=tmp_path / "absent.pth", device="cpu")


def test_weights_of_ones_own(tmp_path):
    path = tmp_path / "mine.safetensors"
    network = InceptionV1("mixed3a", seed=3)
    half = {name: value.half() for name, value in network.state_dict().items()}
    safetensors.torch.save_file(half, path)
    model = load_model(weights="demo", weights_file=str(path), device="cpu")
    assert model.weights == "mine.safetensors" and model.layers[-1] == "mixed3a"
    x = noise(2, 3, 63, 63)
    torch.testing.assert_close(
        model.unit(x, "mixed3a"), network.unit(x, "mixed3a"), rtol=0.02, atol=0.5
    )
    safetensors.torch.save_file({"nobody": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="not the weights of InceptionV1"):
        load_model(weights_file=path, device="cpu")
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="'mine.safetensors' cannot be read"):
        load_model(weights_file=path, device="cpu")


# ----------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"name": "inceptionv2"}, "unknown model 'inceptionv2'; did you mean 'inceptionv1'"),
        ({"name": "google_net"}, "did you mean 'googlenet'"),
        ({"weights": "dmo"}, "unknown inceptionv1 weights 'dmo'; did you mean 'demo'.*random"),
        ({"name": "googlenet", "weights": "demo"}, "googlenet weights 'demo'.*DEFAULT, random"),
        ({"name": "filter_bank", "weights": "demo"}, "filter_bank weights 'demo'.*analytic"),
        ({"name": "filter_bank", "group": "E8"}, "unknown group 'E8'"),
        ({"name": "filter_bank", "weights_file": "a.pth"}, "weights_file is for 'inceptionv1'"),
        ({"sed": 1}, "unknown inceptionv1 option 'sed'; did you mean 'seed'"),
        ({"device": "abacus"}, "no device 'abacus'"),
    ],
)
def test_what_cannot_be_loaded(arguments, said):
    with pytest.raises(UserError, match=said):
        load_model(**{"device": "cpu", **arguments})


@pytest.mark.parametrize(
    "x, said",
    [
        (torch.zeros(3, 95, 95), r"\(B, 3, H, W\), got \(3, 95, 95\)"),
        (torch.zeros(1, 1, 95, 95), r"got \(1, 1, 95, 95\)"),
        (torch.zeros(1, 3, 95, 95, dtype=torch.uint8), r"\[0, 1\], got torch.uint8"),
        (torch.full((1, 3, 95, 95), 255.0), "from 255 to 255"),
        (torch.linspace(-2, 2, 3 * 95 * 95).view(1, 3, 95, 95), "from -2 to 2"),
        (torch.full((1, 3, 95, 95), torch.nan), "nan"),
        (torch.zeros(1, 3, 93, 95), "95x95 pixels, or larger by an even number; these are 93x95"),
        (torch.zeros(1, 3, 96, 96), "these are 96x96"),
        (None, "got NoneType"),
    ],
)
def test_what_cannot_be_looked_at(random_model, x, said):
    with pytest.raises(UserError, match=said):
        random_model.unit(x, "mixed3b")


def test_unknown_layers(random_model):
    for call in (random_model.channels, random_model.receptive_field, random_model.crop_size):
        with pytest.raises(UserError, match="'mixd3b'; did you mean 'mixed3b'.*mixed5b"):
            call("mixd3b")
    with pytest.raises(UserError, match="too small"):
        random_model.activations(noise(1, 3, 4, 4), "mixed5b")


def test_device_names():
    assert pick_device("cpu").type == "cpu"
    assert pick_device().type in ("cpu", "cuda")


def test_layers_to_study_are_those_named_or_the_usual_ones_up_to_the_last():
    model = load_model("inceptionv1", weights="demo")
    usual = ("conv2d0", "mixed3a", "mixed3b_5x5", "nothing")
    assert choose_layers(model, "", usual, "mixed3a") == ["conv2d0", "mixed3a"]
    assert choose_layers(model, "", usual, "mixed3b") == [*usual[:3], "mixed3b"]
    assert choose_layers(model, "mixed3b conv2d1", usual, "mixed3a") == ["mixed3b", "conv2d1"]
    bank = load_model("filter_bank", group="D4")
    assert choose_layers(bank, "", usual, "filters") == ["filters"]
    with pytest.raises(UserError, match="mixed3c"):
        choose_layers(model, "mixed3c", usual, "mixed3a")
