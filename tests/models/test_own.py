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
        ("own_nets.py:Net", "no module 'own_nets.py'|MODULE:FACTORY"),
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
    ],
)
def test_layers_that_cannot_be_used(name, layer, said):
    with pytest.raises(UserError, match=said):
        load_model(name, device="cpu").crop_size(layer)


def test_weights_of_ones_own_are_own_or_random():
    with pytest.raises(UserError, match="weights 'demo'.*own, random"):
        load_model("own_nets:Net", "demo", device="cpu")
