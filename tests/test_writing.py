"""Files are written whole or not at all, and what was interrupted goes on where it stopped."""

import json

import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.files import (
    load_checkpoint,
    read_notes,
    save_checkpoint,
    write_json,
    write_whole,
)
from gc_utils.ledger import Ledger


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
        (tmp_path / "folder.part").mkdir(exist_ok=True)
        (tmp_path / "folder.part" / "stale").touch()
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
