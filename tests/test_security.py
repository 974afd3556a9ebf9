"""Nothing that comes from elsewhere is executed, and no name leads out of its folder."""

from __future__ import annotations

import ast
import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from papermill.parameterize import parameterize_path
from papermill.translators import PythonTranslator

import gc_utils
from gc_utils import downloads
from gc_utils.errors import UserError
from gc_utils.files import is_inside
from gc_utils.images import labelled, load_task
from gc_utils.models.state import read_state
from gc_utils.pipeline.execution import _as_it_is
from gc_utils.pipeline.manifest import Manifest
from gc_utils.reporting.gallery import write_gallery

ROOT = Path(gc_utils.__file__).parent
FORBIDDEN = {"cPickle", "cloudpickle", "dill", "joblib.Memory", "marshal", "shelve"}


class Trap:
    """What makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.path),)


# ------------------------------------------------------------------------------------- pickles


def calls(path: Path):
    """The calls in a file: the name of what is called as far as it is written, and the call."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize(
    "path",
    [*ROOT.rglob("*.py"), *(ROOT.parent / "tools").rglob("*.py")],
    ids=lambda path: path.relative_to(ROOT.parent).as_posix(),
)
def test_no_module_reads_or_writes_a_pickle(path):
    for name, call in calls(path):
        options = {k.arg: ast.unparse(k.value) for k in call.keywords}
        if name == "torch.load":
            assert options.get("weights_only") == "True", ast.unparse(call)
        if name in ("np.load", "numpy.load"):
            assert options.get("allow_pickle", "False") == "False", ast.unparse(call)
        assert name.split(".")[0] not in FORBIDDEN and name != "Memory", ast.unparse(call)
        assert not name.startswith(("pickle.", "joblib.")), ast.unparse(call)
        assert not name.endswith((".to_pickle", ".read_pickle", "read_pickle")), ast.unparse(call)
        assert not name.endswith((".extractall", ".extract", "unpack_archive")), ast.unparse(call)
        reads_images = name.endswith(".ImageFolder")  # the other readers open pickles
        assert reads_images or "torchvision.datasets" not in name, ast.unparse(call)


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.bin", "a.safetensors"])
@pytest.mark.parametrize("by", ["torch", "pickle"])
def test_a_weights_file_that_would_execute_something_is_refused(tmp_path, name, by):
    path, content = tmp_path / name, {"weight": Trap(tmp_path / "sprung")}
    if by == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match="cannot be read"):
        read_state(path)
    assert not (tmp_path / "sprung").exists()


# ------------------------------------------------------------------------------------- CIFAR-10


def records(count: int, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 256, (count, labelled.RECORD), dtype=np.uint8)
    found[:, 0] %= 10
    return found.tobytes()


def archive(path: Path, extra: str = "") -> bytes:
    """CIFAR-10 with five images a file; `extra` is the name of one more file."""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    with tarfile.open(path, "w:gz") as made:
        for i, name in enumerate(
            [f"{labelled.BATCHES}/{n}" for n in names] + [extra] * bool(extra)
        ):
            data = records(5, i)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return path.read_bytes()


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A small CIFAR-10 under a file:// address, with a file that wants out of its folder."""
    import hashlib

    path = tmp_path / "site" / labelled.ARCHIVE
    path.parent.mkdir()
    data = archive(path, extra="../../escaped")
    monkeypatch.setattr(labelled, "ADDRESS", path.as_uri())
    monkeypatch.setattr(labelled, "SHA256", hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return path


def test_cifar10_is_downloaded_checked_and_read_without_unpacking(cifar, tmp_path):
    task = load_task("cifar10", samples=20)
    assert task.x.shape == (20, 3, 32, 32) and task.test_x.shape == (4, 3, 32, 32)
    assert task.y.max() < 10 and 0 <= task.x.min() and 0.9 < task.x.max() <= 1
    kept = tmp_path / "torch" / "hub" / "datasets"
    assert [p.name for p in kept.iterdir()] == [labelled.ARCHIVE]
    assert not list(tmp_path.rglob("escaped"))
    cifar.unlink()  # the network is gone
    assert torch.equal(load_task("cifar10", samples=20).x, task.x)
    (kept / labelled.ARCHIVE).write_bytes(b"something else")
    with pytest.raises(UserError, match="cannot download .* or use 'digits'"):
        load_task("cifar10")


def test_a_download_of_something_else_is_not_kept(cifar, tmp_path, monkeypatch):
    monkeypatch.setattr(labelled, "SHA256", "0" * 64)
    with pytest.raises(UserError, match="the download of .* is not the file expected"):
        load_task("cifar10")
    assert not list((tmp_path / "torch").rglob("*.gz*"))


def test_cifar10_of_a_folder(cifar, tmp_path):
    folder = tmp_path / "mine"
    (folder / labelled.BATCHES).mkdir(parents=True)
    for i in range(1, 6):
        (folder / labelled.BATCHES / f"data_batch_{i}.bin").write_bytes(records(5, i - 1))
    (folder / labelled.BATCHES / "test_batch.bin").write_bytes(records(5, 5))
    task = load_task(f"cifar10:{folder}", samples=20)
    assert torch.equal(task.x, load_task(f"cifar10:{cifar.parent}", samples=20).x)
    (folder / labelled.BATCHES / "data_batch_2.bin").write_bytes(records(5)[:-7])
    with pytest.raises(UserError, match="data_batch_2.bin is damaged"):
        load_task(f"cifar10:{folder}")


def test_pickled_cifar10_is_not_opened(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch", "batches.meta"]:
        trap = pickle.dumps(Trap(tmp_path / "sprung"))
        (tmp_path / "cifar-10-batches-py" / name).write_bytes(trap)
    with pytest.raises(UserError, match="only the version for Python, which is pickled"):
        load_task(f"cifar10:{tmp_path}")
    assert not (tmp_path / "sprung").exists()


# ----------------------------------------------------------------------------------- traversal


@pytest.mark.parametrize(
    "path, inside",
    [
        ("features.csv", True),
        ("checkpoints/sae_0.safetensors", True),
        ("figures/02 ü.png", True),
        ("a..b/c", True),
        ("", False),
        ("../other", False),
        ("a/../../other", False),
        ("a/./b", False),
        ("/etc/passwd", False),
        ("a//b", False),
        ("C:/windows", False),
        ("..\\other", False),
    ],
)
def test_which_paths_stay_in_their_folder(path, inside):
    assert is_inside(path) == inside


EMPTY = {"status": "done", "inputs": {"parameters": {}, "upstream": {}}, "outputs": {}}


@pytest.mark.parametrize("product", ["../precious", "{}/precious", "a/../../precious", "run.json"])
def test_a_manifest_deletes_nothing_outside_of_its_folder(tmp_path, product):
    run, precious = tmp_path / "run", tmp_path / "precious"
    run.mkdir()
    precious.mkdir()
    (precious / "kept").write_text("x")
    made = {product.format(tmp_path): {"bytes": 1, "sha256": ""}}
    content = {"notebooks": {"01_extract": EMPTY | {"outputs": made}}}
    (run / "run.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match="run.json names .*, which is no product in its run folder"):
        Manifest(run).clear("01_extract")
    assert (precious / "kept").exists() and (run / "run.json").exists()


def test_a_manifest_names_no_notebook_elsewhere(tmp_path):
    content = {"notebooks": {"../../x": EMPTY}}
    (tmp_path / "run.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match="run.json names '../../x.ipynb'"):
        Manifest(tmp_path)


def test_a_gallery_replaces_nothing_but_a_gallery(tmp_path, monkeypatch):
    monkeypatch.setattr("gc_utils.reporting.gallery._read", lambda run: (None, None, None))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(
        '{"preset": "", "parameters": {}, "notebooks": {}}', encoding="utf-8"
    )
    other = tmp_path / "photographs"
    other.mkdir()
    (other / "one.jpg").write_text("x")
    for folder in (other, tmp_path / "run" / ".." / "photographs", tmp_path / "run" / ".."):
        with pytest.raises(UserError, match="holds other things than a gallery"):
            write_gallery(tmp_path / "run", folder)
    assert (other / "one.jpg").exists()


# ---------------------------------------------------------------------------------- parameters


NASTY = [
    'a"; import os; os.mkdir("sprung") #',
    "'''+__import__('os').getcwd()+'''",
    "line\nimport os",
    "\\",
    '\\"',
    "{seed.__class__}",
    "%(x)s $HOME `ls`",
    "caf\udce9",  # a name in Latin-1 as Python reads it
    "日本 \u2028 🙂",
]


def test_parameters_are_data_and_never_code():
    given = {f"p{i}": value for i, value in enumerate(NASTY)} | {"l": NASTY, "n": 1e-300, "b": True}
    tree = ast.parse(PythonTranslator.codify(given))
    found = {node.targets[0].id: ast.literal_eval(node.value) for node in tree.body}
    assert found == given and all(isinstance(node, ast.Assign) for node in tree.body)


@pytest.mark.parametrize("name", ["{seed}", "a{0.__class__}b", "{{x}}", "plain"])
def test_braces_in_a_path_are_no_format(name):
    path = Path("runs") / name
    assert parameterize_path(_as_it_is(path), {"seed": 7}) == str(path)
