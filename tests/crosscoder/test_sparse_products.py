"""Products with sparse codes: the same numbers as the dense ones, and the same gradients."""

import pytest
import torch

from gc_utils.crosscoder import GroupCrosscoder, sparse_products

SHAPES = [(64, 96, 700, 0.05), (64, 96, 512, 0.0), (33, 70, 1025, 0.19)]


def codes(N, m, share, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(N, m, generator=draw) * (torch.rand(N, m, generator=draw) < share)


@pytest.mark.parametrize("N, m, D, share", SHAPES)
def test_the_product_is_the_dense_one(N, m, D, share):
    f, X = codes(N, m, share), torch.randn(m, D)
    assert sparse_products._pays(f, X)
    torch.testing.assert_close(sparse_products.times(f, X), f @ X, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("N, m, D, share", SHAPES)
def test_gradients_are_the_dense_ones_where_codes_are_on(N, m, D, share):
    found = []
    for product in (sparse_products.decode, torch.matmul):
        f, V = (
            codes(N, m, share).requires_grad_(),
            torch.randn(m, D, generator=torch.Generator().manual_seed(1)).requires_grad_(),
        )
        product(f, V).square().sum().backward()
        found.append((f.grad * (f.detach() > 0), V.grad, f.grad, f.detach()))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-3)
    assert not found[0][2][found[0][3] == 0].any()


def test_a_linear_maps_gradients_are_the_dense_ones():
    draw = torch.Generator().manual_seed(2)
    x, kept = torch.randn(64, 600, generator=draw), codes(64, 100, 0.05, seed=3)
    found = []
    for map_ in (sparse_products.linear, torch.nn.functional.linear):
        W = torch.randn(100, 600, generator=torch.Generator().manual_seed(4)).requires_grad_()
        b = torch.zeros(100, requires_grad=True)
        seen = x.clone().requires_grad_()
        (map_(seen, W, b) * kept).sum().backward()
        found.append((W.grad, b.grad, seen.grad))
    for sparse, dense in zip(*found, strict=True):
        torch.testing.assert_close(sparse, dense, rtol=1e-4, atol=1e-4)


def test_dense_codes_small_products_and_other_types_are_left_to_torch():
    f, X = codes(64, 96, 0.05), torch.randn(96, 700)
    assert not sparse_products._pays(codes(64, 96, 0.5), X)
    assert not sparse_products._pays(f[:4], X)
    assert not sparse_products._pays(f.double(), X.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert not sparse_products._pays(f, X)


@pytest.mark.parametrize("sparsity", ["batchtopk", "topk", "l1"])
def test_a_training_loss_has_the_same_gradients_either_way(sparsity, monkeypatch):
    A = torch.randn(64, 8, 80, generator=torch.Generator().manual_seed(5))
    found = []
    for densest in (1.0, -1.0):  # always sparse, never
        monkeypatch.setattr(sparse_products, "DENSEST", densest)
        coder = GroupCrosscoder("D4", 80, 96, k=4, encode_from="orbit", sparsity=sparsity)
        made = coder.decode_normalised(coder.training_codes(A)[0], on_only=True)
        (A - made).square().sum().backward()
        found.append([p.grad for p in coder.parameters()])
    for sparse, dense in zip(*found, strict=True):
        torch.testing.assert_close(sparse, dense, rtol=1e-3, atol=1e-3)
