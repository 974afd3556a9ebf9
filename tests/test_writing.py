"""Files are written whole or not at all, and what was interrupted goes on where it stopped."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from gc_utils.errors import Damaged, DiskFull, UserError
from gc_utils.files import (
    is_stray,
    load_checkpoint,
    read_notes,
    save_checkpoint,
    save_tensors,
    write_json,
    write_table,
    write_whole,
)
from gc_utils.ledger import Ledger
from gc_utils.removal import draft_beside


@pytest.mark.parametrize("shared", [False, True])
def test_a_file_is_replaced_only_when_it_is_complete(tmp_path, shared):
    path = tmp_path / "new" / "file.txt"
    with write_whole(path, shared=shared) as draft:
        draft.write_text("first")
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), write_whole(path, shared=shared) as draft:
        draft.write_text("second")
        1 / 0  # noqa: B018
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path], "no draft is left"


def test_a_folder_is_there_whole_and_an_old_draft_is_deleted(tmp_path):
    path = tmp_path / "folder"
    for _ in range(2):  # a process that was killed leaves its draft behind
        draft_beside(path).mkdir(exist_ok=True)
        (draft_beside(path) / "stale").touch()
    with write_whole(path) as draft:
        draft.mkdir()
        (draft / "inside").touch()
    assert [p.name for p in path.iterdir()] == ["inside"]
    assert list(tmp_path.iterdir()) == [path]


def test_json_that_is_not_finite_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"ü": 1})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", {"ü": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"ü": 1}


def trained(steps, checkpoint=None):
    """A parameter after some steps of Adam, and the optimiser; from a checkpoint if given."""
    w = torch.nn.Parameter(torch.ones(3))
    adam = torch.optim.Adam([w], lr=0.1)
    done = 0
    if checkpoint is not None:
        tensors, notes = load_checkpoint(checkpoint, adam)
        w.data.copy_(tensors["w"])
        done = int(notes["step"])
    for _ in range(done, steps):
        adam.zero_grad()
        (w * torch.tensor([1.0, -2.0, 3.0])).square().sum().backward()
        adam.step()
    return w, adam


def test_a_checkpoint_continues_exactly(tmp_path):
    path = tmp_path / "half.safetensors"
    w, adam = trained(5)
    save_checkpoint(path, {"w": w}, adam, {"step": "5"})
    assert read_notes(path) == {"step": "5"}
    again, _ = trained(9, path)
    assert torch.equal(again, trained(9)[0])
    assert not torch.equal(again, w)
    path.write_bytes(b"cut")
    with pytest.raises(UserError, match="not a safetensors file.*delete it"):
        trained(9, path)


def filled(path, *scores, **settings):
    ledger = Ledger(path, **settings)
    for number, score in enumerate(scores):
        ledger.row(lambda score=score: {"score": score, "parts": (1, 2)}, number=number)
    return ledger


def test_a_ledger_reads_what_it_wrote(tmp_path):
    path = tmp_path / "rows.jsonl"
    first = filled(path, 0.1, float("nan"), seed=0)
    again = filled(path, 7, 7, seed=0)  # nothing is made again
    assert again.table().equals(first.table())
    assert again.table().parts[0] == [1, 2]
    assert again.find(number=0)["score"] == 0.1 and again.find(number=5) is None


def test_a_line_that_was_cut_short_is_made_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    filled(path, 1, 2, seed=0)
    path.write_text(path.read_text()[:-4])  # killed while it wrote the second row
    filled(path, 7, 3, 4, seed=0)
    assert list(filled(path, 8, 8, 8, seed=0).table().score) == [1, 3, 4]
    with path.open("a") as file:
        file.write('{"score": 9')
    filled(path, 8, 8, 8, 5, seed=0)
    assert list(filled(path, 8, 8, 8, 8, seed=0).table().score) == [1, 3, 4, 5]


@pytest.mark.parametrize(
    "text", ["", "{", '{"score": 1}\n', "[\n1\n]\n", '{"settings": {"seed": 0}}']
)
def test_a_ledger_of_other_settings_or_form_is_replaced(tmp_path, text):
    path = tmp_path / "rows.jsonl"
    filled(path, 1, seed=1)
    assert list(filled(path, 2, seed=0).table().score) == [2]
    path.write_text(text)
    assert list(filled(path, 3, seed=0).table().score) == [3]
    assert list(filled(path, 4, seed=0).table().score) == [3]


def test_equal_tensors_give_equal_bytes(tmp_path):
    """The library writes metadata in another order in every process, or file."""
    notes = {f"note {i}": "é" * i for i in range(12)}
    tensors = {"b": torch.arange(3.0), "a": torch.ones(2, 2).T}
    files = [tmp_path / f"{i}.safetensors" for i in range(4)]
    for i, path in enumerate(files):
        save_tensors(path, tensors, dict(reversed(notes.items())) if i % 2 else notes)
    assert len({path.read_bytes() for path in files}) == 1
    assert read_notes(files[0]) == notes
    assert torch.equal(load_file(files[0])["a"], tensors["a"])
    bare = tmp_path / "bare.safetensors"
    save_tensors(bare, tensors, {})
    assert read_notes(bare) == {} and torch.equal(load_file(bare)["b"], tensors["b"])


@pytest.mark.parametrize("length", [0, 3, 9, 60, -1])
def test_a_cut_safetensors_file_is_damaged(tmp_path, length):
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.ones(9)}, {"note": "1"})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(Damaged, match="a.safetensors is not a safetensors file"):
        read_notes(path)


class Full(OSError):
    def __init__(self) -> None:
        super().__init__(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.csv"
    write_table(path, pd.DataFrame({"a": [1]}), index=False)
    before = path.read_bytes()
    with pytest.raises(DiskFull, match="no room on the disk for .*a.csv .*as it was. Make room"):
        with write_whole(path) as draft:
            draft.write_text("half")
            raise Full
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="Permission"), write_whole(path) as draft:
        raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_files_that_may_not_grow_are_no_half_files(tmp_path):
    """What the system itself says when it refuses to write on."""
    code = (
        "import resource, torch, pandas as pd, pathlib, sys\n"
        "from gc_utils.errors import DiskFull\n"
        "from gc_utils.files import save_tensors, write_json, write_table\n"
        "from gc_utils.figures import save_figure\n"
        "from gc_utils.ledger import Ledger\n"
        "from matplotlib.figure import Figure\n"
        "figure = Figure()\nfigure.subplots().plot([1, 2, 1])\n"
        "ledger = Ledger('l.jsonl')\nledger.add({'a': 1})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "full = 0\n"
        "for write in (lambda: save_tensors('a.safetensors', {'a': torch.ones(9999)}, {}),\n"
        "              lambda: write_json('a.json', list(range(9999))),\n"
        "              lambda: write_table('a.csv', pd.DataFrame({'a': range(9999)})),\n"
        "              lambda: save_figure(figure, '.', '01_a', 'what'),\n"
        "              lambda: ledger.add({'text': 'x' * 9999})):\n"
        "    try: write()\n"
        "    except DiskFull as error: full += 1\n"
        "assert full == 5, full\n"
        "left = {p.name for p in pathlib.Path('.').rglob('*') if p.is_file()}\n"
        "assert left == {'l.jsonl'}, left\n"
        "assert ledger.add({'b': 2}) and [r for r in Ledger('l.jsonl').rows if 'b' in r]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_ledger_survives_a_line_that_did_not_fit(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path / "l.jsonl")
    ledger.add({"a": 1})
    with monkeypatch.context() as full:
        full.setattr(json, "dumps", lambda *_, **__: (_ for _ in ()).throw(Full()))
        with pytest.raises(OSError):
            ledger.add({"a": 2})
    with ledger.path.open("a") as file:
        file.write('{"a": 2')  # as far as there was room
    again = Ledger(ledger.path)
    again.add({"a": 3})
    assert [row["a"] for row in Ledger(ledger.path).rows] == [1, 3]


@pytest.mark.parametrize(
    ("name", "stray"),
    [
        ("c/1/0/0", False),
        ("zarr.json", False),
        ("features.csv", False),
        ("a.safetensors", False),
        ("zarr.json~", True),
        ("#zarr.json#", True),
        ("~$features.csv", True),
        ("c/1/0/0.BAK", True),
        ("c/1/0/0.3f2a.partial", True),
        ("a.safetensors.part", True),
        ("c/.nfs000001", True),
        ("Thumbs.db", True),
        ("c/1/.DS_Store", True),
        ("run.bak/a.csv", False),
    ],
)
def test_strays_are_told_from_products(name, stray):
    assert is_stray(name) == stray
