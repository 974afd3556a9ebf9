"""Trials side by side: each result arrives with its number, and errors come through."""

import contextlib
import os

import numpy as np
import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.parallel import side_by_side


def work(x, power):
    if x < 0:
        raise UserError(f"{x} is negative")
    return x**power, torch.get_num_threads(), os.getpid()


def test_every_call_gives_its_result_in_a_process_of_one_thread():
    found = dict(side_by_side(work, [(2, 3), (3, 2), (4, 1)], progress=False))
    assert {i: value for i, (value, _, _) in found.items()} == {0: 8, 1: 9, 2: 4}
    assert {threads for _, threads, _ in found.values()} == {1}
    assert os.getpid() not in {process for _, _, process in found.values()}


@pytest.mark.parametrize(
    ("calls", "workers"), [([(2, 3), (3, 2)], 1), ([(2, 3)], 2), ([(-1, 1)], 2)]
)
def test_one_worker_leaves_the_threads_of_this_process_as_they_were(calls, workers):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = {}
        with contextlib.suppress(UserError):
            found = dict(side_by_side(work, calls, workers=workers, progress=False))
        assert torch.get_num_threads() == 2
        assert all(tuple(where) == (1, os.getpid()) for _, *where in found.values())
    finally:
        torch.set_num_threads(before)


def test_one_worker_and_two_find_the_same():
    calls = [(2, 3), (3, 2), (4, 1)]
    one, two = (
        {i: value for i, (value, *_) in side_by_side(work, calls, workers=n, progress=False)}
        for n in (1, 2)
    )
    assert one == two == {0: 8, 1: 9, 2: 4}


def test_arguments_can_be_changed_whatever_their_size():
    def fill(x):
        x[:] = 1
        return float(x.sum())

    found = dict(side_by_side(fill, [(np.zeros(2_000_000),)], progress=False))
    assert found == {0: 2_000_000}


def test_an_error_comes_through():
    with pytest.raises(UserError, match="-1 is negative"):
        list(side_by_side(work, [(-1, 1), (2, 2)], progress=False))


def test_nothing_to_do_starts_no_process():
    assert list(side_by_side(work, [])) == []
