"""A network of one's own: found where the command runs, read by its modules, refused in words."""

import sys

import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.models import load_model
from gc_utils.models.own import FOLDER
from gc_utils.pipeline import execute

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, 6, 3, 1, 1))
        self.twice = nn.ReLU(inplace=True)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.never = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        x = self.twice(self.body(2 * x - 1))
        if x.sum() > 1e9:  # no tracer would follow this
            x = -x
        return self.mean(self.twice(x))

def shifting():
    return nn.Sequential(Shifting(), nn.Conv2d(3, 4, 3, 2))

class Shifting(nn.Module):
    def forward(self, x):
        return nn.functional.pad(x, (x.shape[-1] % 2, 1, x.shape[-2] % 2, 1))

def small():
    return nn.Linear(3, 3)

def fails():
    raise KeyError("no such thing")

def leaves():
    import sys
    sys.exit(3)

def lazy():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU())

def scripted():
    return torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3)))

def needs(width):
    return nn.Conv2d(3, width, 3)

class Typed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.kernel = nn.Conv2d(3, 4, 3, 2, 1), torch.ones(2, 4, 3, 3)
        self.last = nn.ReLU()

    def forward(self, x):
        x = self.conv(x.float())
        return self.last(nn.functional.conv2d(x, self.kernel, padding=1))

def plain():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 2, 3, 1, 1), nn.ReLU())
    return net

def headed():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 30 * 30, 5))

class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act, self.place = nn.Conv2d(3, 2, 4, 4), nn.ReLU(), torch.ones(56, 56)

    def forward(self, x):
        return self.act(self.conv(x) + self.place)

def damaged():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    net[0].weight.data[0, 0, 0, 0] = torch.nan
    return net

class Empty(nn.Module):
    def forward(self, x):
        return x

class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.ReLU()])

    def forward(self, x):
        return self.parts[1](self.parts[0](x))

def word():
    return "a network"

number = 3
"""


@pytest.fixture(scope="module", autouse=True)
def nets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_nets.py").write_text(NETS)
    (folder / "own_broken.py").write_text("import torch\n1 / 0\n")
    (folder / "own_needy.py").write_text("import nothing_of_this_name\n")
    (folder / "own_program.py").write_text("import argparse\nargparse.ArgumentParser().exit(2)\n")
    (folder / "own_typo.py").write_text("import torch\n\ndef make(:\n    pass\n")
    (folder / "own_numbers.py").write_text("number = 3\n")
    (folder / "part").mkdir()
    (folder / "part" / "own_inner.py").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv(FOLDER, raising=False)
        patch.setattr(sys, "path", list(sys.path))
        yield folder


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_network_of_ones_own_is_a_model():
    model = load_model("own_nets:Net", device="cpu")
    assert (model.name, model.weights) == ("own_nets:Net", "own")
    assert model.nodes == ("body.0", "body.1", "body.2", "body", "mean")
    assert model.receptive_field("body.2") == (9, 2, 0) and model.channels("body.2") == 6
    frame, side, k = noise(1, 3, 64, 64), model.crop_size("body"), 9
    crop = frame[..., 2 * k - side // 2 :, 2 * k - side // 2 :][..., :side, :side]
    expected = model.activations(frame, "body")[..., k, k]
    torch.testing.assert_close(model.unit(crop, "body"), expected)
    # It takes RGB in [0, 1] as it is, and what is read is not yet rectified in place.
    torch.testing.assert_close(model.activations(frame, "body"), model.network.body(2 * frame - 1))
    assert expected.min() < 0


def test_its_weights_are_those_of_the_seed_or_of_a_file(tmp_path):
    one, same = (load_model("own_nets:Net", device="cpu") for _ in range(2))
    fresh = load_model("own_nets:Net", "random", device="cpu", seed=1)
    assert one.checksum == same.checksum != fresh.checksum and fresh.weights == "random"
    torch.save(fresh.network.state_dict(), tmp_path / "mine.pt")
    file = load_model("own_nets:Net", weights_file=tmp_path / "mine.pt", device="cpu")
    assert file.weights == "mine.pt"
    assert torch.equal(file.network.body[0].weight, fresh.network.body[0].weight)


def test_the_folder_of_the_command_comes_first(tmp_path, monkeypatch, nets):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(nets))])
    monkeypatch.delitem(sys.modules, "own_nets", raising=False)
    with pytest.raises(UserError, match="no module 'own_nets'.*looked in '.*elsewhere'"):
        load_model("own_nets:Net")
    monkeypatch.setenv(FOLDER, str(nets))
    assert load_model("own_nets:Net", device="cpu").layers == ("body", "mean")


def test_a_notebook_finds_it_from_the_folder_of_the_command(make_notebook, tmp_path):
    load = 'from gc_utils.models import load_model\nassert load_model("own_nets:Net").layers'
    notebook = make_notebook("01_own", "seed = 0", load)
    done = execute(notebook, tmp_path / "out.ipynb", {})
    assert done.error is None, done.error


@pytest.mark.parametrize(
    "name, said",
    [
        ("nowhere:make", "no module 'nowhere'.*looked in"),
        ("own_nets.inner:make", "no module 'own_nets.inner'"),
        ("own_needy:make", "'own_needy' cannot be imported: .*'nothing_of_this_name'"),
        ("own_broken:make", "'own_broken' cannot be imported: ZeroDivisionError.*own_broken.py"),
        ("own_nets:Nat", "factory in 'own_nets' 'Nat'; did you mean 'Net'"),
        ("own_nets:number", "unknown factory in 'own_nets' 'number'"),
        ("own_nets:fails", "'own_nets:fails' failed: KeyError: 'no such thing'.*own_nets.py, line"),
        ("own_nets:word", "returned str, not a torch.nn.Module"),
        ("own_nets.py:Net", "did you mean 'own_nets:Net'.*MODULE:FACTORY"),
        ("./own_nets.py:Net", "did you mean 'own_nets:Net'"),
        ("part/own_inner.py:make", "did you mean 'part.own_inner:make'"),
        ("own_nets", "unknown model 'own_nets'; did you mean 'own_nets:FACTORY'"),
        ("own_nets.py", "did you mean 'own_nets:FACTORY'"),
        ("nowhere.py:make", "no module 'nowhere'"),
        (
            "own_nets:leaves",
            r"'own_nets:leaves' called sys.exit \(SystemExit: 3 .*own_nets.py, line",
        ),
        ("own_program:make", r"'own_program' called sys.exit .*own_program.py, line 2.*__main__"),
        ("own_typo:make", r"SyntaxError: invalid syntax \(\S*own_typo.py, line 3\)\Z"),
        ("own_nets:needs", "failed: TypeError: .*'width'. It is called without arguments"),
        ("own_nets:lazy", r"not initialised \(0.weight, 0.bias\)"),
        ("own_nets:scripted", "TorchScript module"),
        ("own_numbers:make", "'own_numbers' .*has no functions"),
        ("nets/own:Net", "named MODULE:FACTORY, as 'nets:make'"),
        ("own_nets:", "named MODULE:FACTORY"),
    ],
)
def test_mistakes(name, said):
    with pytest.raises(UserError, match=said):
        load_model(name, device="cpu")


@pytest.mark.parametrize(
    "name, layer, said",
    [
        ("own_nets:Net", "twice", "'twice' of .* is applied 2 times to an image"),
        ("own_nets:Net", "never", "unknown own_nets:Net layer 'never'"),
        ("own_nets:Net", "mean", "no receptive field"),
        ("own_nets:shifting", "1", "padding depends on the size of the image|place to place"),
        ("own_nets:small", "0", r"cannot process an image of 224x224 pixels.*RuntimeError"),
        ("own_nets:headed", "0", "cannot process .*return the network without its head"),
        ("own_nets:Fixed", "act", "takes only images of 224x224 pixels .*cannot be read here"),
        ("own_nets:damaged", "1", "not finite numbers .*weights below it are damaged"),
        ("own_nets:Empty", "0", "has no modules to read"),
        ("own_nets:Listed", "mixed3a", "'mixed3a'. Choices: parts.0, parts.1..*default.*-p layer"),
    ],
)
def test_layers_that_cannot_be_used(name, layer, said):
    with pytest.raises(UserError, match=said):
        load_model(name, device="cpu").crop_size(layer)


def test_a_network_that_names_a_type_is_probed_in_single_precision():
    model, before = load_model("own_nets:Typed", device="cpu"), torch.backends.mkldnn.enabled
    assert model.receptive_field("conv") == (3, 2, 0) and model.receptive_field("last") == (7, 2, 0)
    assert torch.backends.mkldnn.enabled == before  # switched off meanwhile


def test_weights_whose_names_begin_with_model(tmp_path):
    made = load_model("own_nets:plain", "random", device="cpu", seed=2).network.state_dict()
    torch.save({"state_dict": {f"model.{k}": v for k, v in made.items()}}, tmp_path / "a.ckpt")
    found = load_model("own_nets:plain", weights_file=tmp_path / "a.ckpt", device="cpu").network
    assert torch.equal(found[1].weight, made["1.weight"])
    torch.save({f"model.{k}": v for k, v in made.items() if k != "1.bias"}, tmp_path / "b.pth")
    with pytest.raises(UserError, match=r": 1 missing \(1.bias\)\."):
        load_model("own_nets:plain", weights_file=tmp_path / "b.pth", device="cpu")
    torch.save(
        {f"model.{k}": v for k, v in made.items()} | {"x": made["1.bias"]}, tmp_path / "c.pt"
    )
    with pytest.raises(UserError, match="unexpected .model.0.weight"):
        load_model("own_nets:plain", weights_file=tmp_path / "c.pt", device="cpu")


def saved(value, tmp_path, **options):
    torch.save(value, tmp_path / "saved", **options)
    return (tmp_path / "saved").read_bytes()


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda p: b"", "it is empty"),
        (lambda p: b"hello world\n", "no PyTorch weights file; it looks like text"),
        (lambda p: b"<!DOCTYPE html><html>", "no PyTorch weights file; it looks like HTML"),
        (lambda p: b'{"a": 1}', "no PyTorch weights file; it looks like JSON"),
        (lambda p: b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(50), "no PyTorch .* JPEG"),
        (lambda p: b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (lambda p: saved({"a": torch.zeros(99)}, p)[:300], "damaged or incomplete"),
        (
            lambda p: saved({"a": torch.zeros(9)}, p, _use_new_zipfile_serialization=False)[:150],
            "no PyTorch weights file, or damaged",
        ),
        (lambda p: saved(torch.nn.Conv2d(1, 1, 1), p), "holds torch.nn.modules.conv.Conv2d"),
        (lambda p: saved({0: torch.zeros(3)}, p), "holds no state dict"),
    ],
)
def test_files_that_hold_no_weights(tmp_path, make, said):
    (tmp_path / "w.pth").write_bytes(make(tmp_path))
    with pytest.raises(UserError, match=said) as error:
        load_model("own_nets:Net", weights_file=tmp_path / "w.pth", device="cpu")
    assert "weights_only set" not in str(error.value) and "\x1b" not in str(error.value)
    assert "execution" not in str(error.value) and "w.pth" in str(error.value)


def test_a_folder_is_no_weights_file(tmp_path):
    with pytest.raises(UserError, match="is a folder, not a weights file"):
        load_model("own_nets:Net", weights_file=tmp_path, device="cpu")


def test_weights_of_ones_own_are_own_or_random():
    with pytest.raises(UserError, match="weights 'demo'.*own, random"):
        load_model("own_nets:Net", "demo", device="cpu")
