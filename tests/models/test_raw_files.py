"""Raw files: read, fetched as far as needed, checked, cached, and never run as another network."""

import hashlib
import http.server
import json
import shutil
import threading
import urllib.request
from dataclasses import replace

import numpy as np
import pytest
import safetensors
import torch
from safetensors.torch import save_file

from gc_utils import downloads
from gc_utils.activations import extract
from gc_utils.errors import UserError
from gc_utils.images import load_images
from gc_utils.models import (
    BVLC_GOOGLENET,
    InceptionV1,
    Norm,
    available_weights,
    load,
    load_model,
    raw_files,
    write_weights,
)
from gc_utils.models import weights as _weights

STEM_FILES = 30  # conv1 to inception_3b


class Served(http.server.BaseHTTPRequestHandler):
    """Gives out a folder; some of its files are broken."""

    def do_GET(self):
        server, path = self.server, self.path.lstrip("/")
        server.asked.append(path)
        file, how = server.folder / path, server.broken.get(path)
        if how == "missing" or not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes()
        if how == "corrupted":
            data = bytes([data[0] ^ 1]) + data[1:]
        if how == "shorter":
            data = data[:-4]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if how == "cut" else data)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(small):
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Served)
    served.folder, served.asked, served.broken = small.folder, [], {}
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.fixture
def hub(tmp_path, monkeypatch, server, small):
    """An empty cache; the narrow network stands for the published one, on a local server."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    weights = replace(small.weights, url=f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    for module in (load, _weights):
        monkeypatch.setattr(module, "bvlc_googlenet", lambda: weights)
    return tmp_path / "torch" / "hub" / "checkpoints"


def fetched(**options):
    return load_model("inceptionv1", "bvlc_googlenet", device="cpu", **options)


def row():
    return next(r for r in available_weights() if r.weights == "bvlc_googlenet")


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


# --------------------------------------------------------------------------------------- reading


def test_filters_lie_as_out_y_x_in(small):
    state = small.weights.from_folder(small.folder, "mixed3a")
    raw = np.fromfile(small.folder / "conv2/3x3_filter.bin", "<f4").reshape(9, 3, 3, 5)
    weight = state["conv2/3x3.weight"]
    assert weight.shape == (9, 5, 3, 3) and weight.dtype == torch.float32
    for out, y, x, channel in ((0, 0, 1, 2), (8, 2, 0, 4), (3, 1, 2, 0)):
        assert weight[out, channel, y, x] == raw[out, y, x, channel]
    assert small.weights.is_own("conv2/3x3.weight", weight)
    assert not small.weights.is_own("conv2/3x3.weight", weight.flip(-1))
    assert not small.weights.is_own("conv2/3x3.weights", weight)


def test_a_folder_needs_the_files_of_the_layers_asked_for_only(hub, small, server, tmp_path):
    part = tmp_path / "part"
    for block in ("conv1", "conv2", "inception_3a"):
        shutil.copytree(small.folder / block, part / block)
    model = load_model("inceptionv1", weights_file=part, device="cpu")
    assert (model.weights, model.layers[-1]) == ("bvlc_googlenet", "logits")
    assert model.activations(noise(1, 3, 63, 63), "mixed3a").shape[1] == model.channels("mixed3a")
    with pytest.raises(UserError, match="no 'inception_3b/1x1_filter.bin' in .*'mixed3b' needs"):
        model.prepare("mixed3b_5x5")
    (part / "conv2/3x3_bias.bin").write_bytes(b"\0" * 36)
    with pytest.raises(UserError, match="conv2/3x3_bias.bin is not the file expected: .*sha256 is"):
        load_model("inceptionv1", weights_file=part, device="cpu").prepare("conv2d2")
    with pytest.raises(UserError, match="no 'conv1/7x7_s2_filter.bin'.*expected a copy of http"):
        load_model("inceptionv1", weights_file=tmp_path, device="cpu")
    assert server.asked == [] and not hub.exists()


def test_gradients_pass_weights_that_were_first_read_without_any(hub, small):
    model = load_model("inceptionv1", "bvlc_googlenet", str(small.folder))
    with torch.inference_mode():
        model.activations(torch.rand(1, 3, 32, 32), "conv2d1")
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    model.activations(x, "conv2d1").sum().backward()
    assert x.grad.abs().sum() > 0


# -------------------------------------------------------------------------------------- fetching


def test_only_what_a_layer_needs_is_fetched_and_only_once(hub, server, small):
    assert row().status == "to download"
    model = fetched()
    assert model.crop_size("mixed3b") == 93 and model.channels("mixed5b") > 0
    assert server.asked == [] and not hub.exists()
    model.prepare("mixed3b_5x5")
    asked = set(server.asked)
    assert len(server.asked) == len(asked) == STEM_FILES
    assert {path.split("/")[0] for path in asked} == {
        *("conv1", "conv2", "inception_3a", "inception_3b")
    }
    assert [p.name for p in hub.iterdir()] == ["bvlc_googlenet.safetensors"]
    assert row().status == "cached through mixed3b" and row().licence
    x = noise(1, 3, 93, 93)
    model.activations(x, "conv2d0"), fetched().unit(x, "mixed3b")
    assert len(server.asked) == STEM_FILES
    model.activations(x, "mixed4a")
    assert {p.split("/")[0] for p in server.asked[STEM_FILES:]} == {"inception_4a"}
    assert model.network.top == "logits"  # whoever takes the network takes all of it
    assert sorted(server.asked) == sorted(small.weights.sums) and row().status == "cached"


def test_the_cached_file_says_what_it_is(hub, small):
    model = fetched()
    model.prepare("mixed3a")
    file = hub / "bvlc_googlenet.safetensors"
    with safetensors.safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    assert metadata["architecture"] == "bvlc_googlenet"
    assert Norm(**json.loads(metadata["norm"])) == BVLC_GOOGLENET.norm
    assert metadata["licence"] == small.weights.licence


def test_a_folder_and_a_download_are_the_same_weights(hub, small):
    near, far = load_model("inceptionv1", weights_file=small.folder, device="cpu"), fetched()
    x = noise(2, 3, 93, 93)
    assert torch.equal(near.unit(x, "mixed3b"), far.unit(x, "mixed3b"))
    before = far.checksum
    far.prepare("mixed4a")
    assert near.checksum == far.checksum == before == small.weights.checksum
    assert (near.name, near.weights) == (far.name, far.weights)


def test_a_damaged_cache_is_mended(hub, server):
    fetched().prepare("mixed3a")
    server.asked.clear()
    file = hub / "bvlc_googlenet.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    fetched().prepare("mixed3a")
    assert len(server.asked) == 1  # the parameter that was no longer right
    for nonsense in (b"nonsense", b""):
        file.write_bytes(nonsense)
        fetched().prepare("conv2d0")
        assert row().status == "cached through conv2d0"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "cannot download .*404"),
        ("cut", "cannot download .*IncompleteRead"),
        ("shorter", "not the file expected: it has .* bytes of"),
        ("corrupted", "not the file expected: it has"),
    ],
)
def test_a_file_that_is_not_right(hub, server, small, how, said):
    path = "inception_3a/3x3_filter.bin"
    server.broken[path] = how
    with pytest.raises(UserError, match=said) as error:
        fetched().activations(noise(1, 3, 63, 63), "mixed3a")
    address = f"http://127.0.0.1:{server.server_port}/{path}"
    for told in (address, small.weights.sums[path], "--weights-file FOLDER", str(hub), "'demo'"):
        assert told in str(error.value)
    kept = sorted(hub.rglob("*"))
    assert not [p for p in kept if p.suffix in (".part", ".safetensors")]
    for part in (p for p in kept if p.is_file()):  # whole, by their checksums
        assert hashlib.sha256(part.read_bytes()).hexdigest() == part.name
    before, server.broken = list(server.asked), {}
    fetched().prepare("mixed3a")
    again = server.asked[len(before) :]
    # It went on where it stopped; what arrives damaged had been asked for more than once.
    assert again[0] == path and not set(again) & (set(before) - {path})
    assert before.count(path) == (1 if how == "missing" else downloads.ATTEMPTS)
    assert [p.name for p in hub.iterdir()] == ["bvlc_googlenet.safetensors"]


def test_an_interrupted_download_goes_on_where_it_stopped(hub, server, monkeypatch):
    opened, count = urllib.request.urlopen, iter(range(100))

    def impatient(*args, **options):
        if next(count) == 20:
            raise KeyboardInterrupt
        return opened(*args, **options)

    monkeypatch.setattr(urllib.request, "urlopen", impatient)
    with pytest.raises(KeyboardInterrupt):
        fetched().prepare("mixed3b")
    assert len(server.asked) == 20 and row().status == "to download"
    first = next((hub / "bvlc_googlenet.safetensors.parts").iterdir())
    first.write_bytes(b"")  # a file that was not written to its end, in whatever way
    fetched().prepare("mixed3b")
    assert len(server.asked) == STEM_FILES + 1 and len(set(server.asked)) == STEM_FILES
    assert row().status == "cached through mixed3b"


def test_no_network_and_no_room(hub, server, monkeypatch):
    server.broken = dict.fromkeys(_weights.bvlc_googlenet().sums, "missing")
    with pytest.raises(UserError, match="cannot download"):
        fetched().prepare("conv2d0")
    server.broken = {}
    shutil.rmtree(hub, ignore_errors=True)
    hub.parent.mkdir(parents=True, exist_ok=True)
    hub.write_text("a file where the cache should be")
    with pytest.raises(UserError, match="cannot keep .*TORCH_HOME"):
        fetched().prepare("conv2d0")


# ------------------------------------------------------- files of one's own, and what they say


def test_a_converted_file_is_run_as_what_it_says(hub, small, tmp_path):
    path = tmp_path / "mine.safetensors"
    network = InceptionV1("mixed3a", architecture=BVLC_GOOGLENET, seed=3)
    write_weights(path, network.state_dict(), BVLC_GOOGLENET)
    model = load_model("inceptionv1", weights_file=path, device="cpu")
    assert (model.weights, model.architecture) == ("mine.safetensors", BVLC_GOOGLENET)
    assert model.checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    x = noise(1, 3, 63, 63)
    assert torch.equal(model.activations(x, "mixed3a"), network(x, "mixed3a"))
    with pytest.raises(UserError, match="'mixed3b' is above 'mixed3a'.*'bvlc_googlenet' have all"):
        model.prepare("mixed3b")
    with pytest.raises(UserError, match="trained with the normalisation .*radius=2.*radius=5"):
        load_model("inceptionv1", weights_file=path, device="cpu", norm=Norm())
    with pytest.raises(
        UserError, match="of 'bvlc_googlenet', and the weights asked .*'inception5h"
    ):
        load_model("inceptionv1", "inception5h", path, device="cpu")


def test_the_cached_file_may_be_carried_to_another_computer(hub, small, tmp_path, monkeypatch):
    fetched().prepare("mixed3b")
    copy = tmp_path / "copy.safetensors"
    shutil.copy(hub / "bvlc_googlenet.safetensors", copy)
    # The narrow network stands for the published one in a file's metadata too.
    monkeypatch.setitem(raw_files.ARCHITECTURES, "bvlc_googlenet", small.architecture)
    monkeypatch.setattr(_weights, "BVLC_GOOGLENET", small.architecture)
    with pytest.raises(UserError, match="'demo': give -p weights bvlc_googlenet with this file"):
        load_model("inceptionv1", "demo", copy, device="cpu")
    model = load_model("inceptionv1", weights_file=copy, device="cpu")
    assert (model.weights, model.checksum) == ("bvlc_googlenet", small.weights.checksum)
    state = small.weights.from_folder(small.folder, "mixed3b")
    write_weights(copy, state, small.architecture, norm=Norm())
    with pytest.raises(UserError, match="published 'bvlc_googlenet' was trained with .*radius=5"):
        load_model("inceptionv1", weights_file=copy, device="cpu")


def test_parameters_of_bvlc_googlenet_without_a_word_are_refused(hub, small, tmp_path):
    """Their shapes are inception5h's up to mixed3b: loaded as that, they would compute nonsense."""
    path = tmp_path / "converted.safetensors"
    theirs = InceptionV1("mixed3b", architecture=BVLC_GOOGLENET, seed=3).state_dict()
    renamed = dict(zip(InceptionV1("mixed3b").state_dict(), theirs.values(), strict=True))
    save_file(theirs, path)
    with pytest.raises(UserError, match="parameters of 'bvlc_googlenet'.*says nothing of its arch"):
        load_model("inceptionv1", weights_file=path, device="cpu")
    save_file(theirs, path, {"architecture": "bvlc_googlenet"})
    with pytest.raises(UserError, match="'bvlc_googlenet' and nothing of its normalisation"):
        load_model("inceptionv1", weights_file=path, device="cpu")
    save_file(theirs, path, {"architecture": "inception5h", "norm": json.dumps(Norm()._asdict())})
    with pytest.raises(UserError, match="says it is of 'inception5h'"):
        load_model("inceptionv1", weights_file=path, device="cpu")
    for metadata, said in (
        (
            {"architecture": "alexnet"},
            "'alexnet'; expected one of inception5h, bvlc",
        ),
        ({"norm": "[1]"}, r"normalisation is '\[1\]'; expected the constants radius, bias, alpha"),
        ({"norm": '{"radius": 3, "size": 7}'}, "expected the constants radius"),
    ):
        save_file(renamed, path, metadata)
        with pytest.raises(UserError, match=said):
            load_model("inceptionv1", weights_file=path, device="cpu")
    # Published numbers are known by their checksums, whatever they are called.
    bias = small.weights.from_folder(small.folder, "conv2d0")["conv1/7x7_s2.bias"]
    save_file({**renamed, "conv2d0_pre_relu_conv.bias": bias}, path)
    with pytest.raises(UserError, match="parameters of 'bvlc_googlenet'"):
        load_model("inceptionv1", weights_file=path, device="cpu")
    save_file(renamed, path)  # nobody's numbers under inception5h's names are inception5h's
    assert load_model("inceptionv1", weights_file=path, device="cpu").layers[-1] == "mixed3b"


def test_what_cannot_be_meant(hub, small, tmp_path):
    with pytest.raises(UserError, match="trained with the normalisation .*leave 'norm' away"):
        fetched(norm=Norm())
    assert fetched(norm=BVLC_GOOGLENET.norm).weights == "bvlc_googlenet"
    with pytest.raises(UserError, match="of 'bvlc_googlenet', and the weights asked for .*'incep"):
        load_model("inceptionv1", "inception5h", small.folder, device="cpu")
    for weights in ("demo", "random"):  # a run would record it under that name
        with pytest.raises(
            UserError, match=f"'{weights}': give -p weights bvlc_googlenet with thi"
        ):
            load_model("inceptionv1", weights, small.folder, device="cpu")
    one, stray = small.folder / "conv1/7x7_s2_filter.bin", tmp_path / "stray.bin"
    for weights in ("demo", "bvlc_googlenet"):
        with pytest.raises(UserError, match=f"is one file of .* folder .*'{small.folder}'"):
            load_model("inceptionv1", weights, one, device="cpu")
    shutil.copy(one, stray)
    with pytest.raises(UserError, match="not the weights 'bvlc_googlenet': give the folder"):
        load_model("inceptionv1", "bvlc_googlenet", stray, device="cpu")
    own = tmp_path / "own.safetensors"
    save_file(InceptionV1("mixed3a").state_dict(), own)
    with pytest.raises(UserError, match="is of 'inception5h', and the weights asked for are 'bvlc"):
        load_model("inceptionv1", "bvlc_googlenet", own, device="cpu")
    with pytest.raises(UserError, match="no weights file '.*absent'"):
        load_model("inceptionv1", "bvlc_googlenet", tmp_path / "absent", device="cpu")


# ------------------------------------------------------------------------------------- in a store


def test_a_store_made_with_the_folder_opens_with_the_download(hub, small, server, tmp_path):
    images = load_images("scenes:2", min_size=93)
    near = load_model("inceptionv1", weights_file=small.folder, device="cpu")
    options = {"samples": 4, "folds": 2, "progress": False}
    store = extract(
        tmp_path / "a.zarr",
        near,
        "mixed3b",
        "D4",
        images,
        weights_file=str(small.folder),
        **options,
    )
    assert store.settings["weights"] == "bvlc_googlenet"
    assert store.model("cpu").checksum == near.checksum and server.asked == []
    again = extract(tmp_path / "a.zarr", fetched(), "mixed3b", "D4", images, **options)
    assert again.weights_file is None and again.model("cpu").checksum == near.checksum
    assert server.asked == []  # nothing had to be computed
