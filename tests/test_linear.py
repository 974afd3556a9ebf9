"""Ridge regression agrees with scikit-learn's, and is defined where least squares is not unique."""

import numpy as np
import torch
from sklearn.linear_model import Ridge

from gc_utils.linear import ridge, ridge_fit


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(50, 4)) * [1, 2, 3, 0.5], rng.normal(size=(50, 3))


def moments(x, y):
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    return x.T @ x, x.T @ y


def test_it_is_scikit_learns_with_a_penalty_relative_to_the_inputs():
    x, y = data()
    gram, cross = moments(x, y)
    for strength in (1e-3, 1.0):
        alpha = strength * float(gram.diagonal().mean())
        expected = Ridge(alpha=alpha, fit_intercept=False).fit(x, y).coef_.T
        np.testing.assert_allclose(ridge(gram, cross, strength), expected, atol=1e-10)


def test_the_same_strength_means_the_same_at_any_scale_and_number_of_samples():
    x, y = data()
    found = ridge(*moments(x, y), 0.1)
    larger = ridge(*moments(np.tile(10 * x, (3, 1)), np.tile(10 * y, (3, 1))), 0.1)
    torch.testing.assert_close(found, larger)


def test_without_a_penalty_it_is_the_least_squares_solution_of_least_norm():
    x, y = data()
    x = np.concatenate([x, x[:, :1]], 1)  # two inputs that are the same
    expected = np.linalg.lstsq(x, y, rcond=None)[0]
    np.testing.assert_allclose(ridge(*moments(x, y), 0.0), expected, atol=1e-8)


def test_a_floor_keeps_inputs_without_variance_solvable():
    gram, cross = torch.zeros(2, 2).double(), torch.zeros(2, 1).double()
    assert ridge(gram, cross, 1e-3, floor=1e-12).tolist() == [[0.0], [0.0]]


def test_the_ridge_of_few_samples_is_that_of_the_moments():
    draw = torch.Generator().manual_seed(0)
    y = torch.randn(200, 2, generator=draw).double()
    for inputs in (300, 40):  # fewer and more samples than inputs
        x = torch.randn(200, inputs, generator=draw).double()
        expected = ridge(x.T @ x, x.T @ y, 0.1)
        assert torch.allclose(ridge_fit(x, y, 0.1), expected, atol=1e-9)
        assert ridge_fit(x.float(), y.float(), 0.1).dtype == torch.float32
