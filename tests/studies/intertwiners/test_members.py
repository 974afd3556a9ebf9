import numpy as np
import pytest
import torch
from torch import nn

from gc_utils.errors import UserError
from gc_utils.inspection import rotated_basis
from gc_utils.models import BVLC_GOOGLENET, INCEPTION5H, InceptionV1
from gc_utils.studies import intertwiners as it
from gc_utils.studies import intertwiners as ws


@pytest.mark.parametrize("name", it.TABLE)
def test_members_intertwine_and_near_members_do_not(name):
    row = it.TABLE[name]
    x = np.random.default_rng(1).normal(size=(300, 5))
    for seed in range(3):
        A = it.sample_member(row.kind, 5, seed=seed)
        assert it.misses(row.sigma, A, row.phi(A), x) < 1e-12
        phi, left = it.best_phi(row.sigma, A, seed=seed)
        assert left < 1e-10 and np.allclose(phi, row.phi(A), atol=1e-8)
        left = it.best_phi(row.sigma, it.near_member(A, seed=seed), seed=seed)[1]
        assert left < 1e-10 if row.kind == "all" else left > 0.02


@pytest.mark.parametrize("name", it.TABLE)
def test_the_group_is_found_numerically(name):
    found = it.solve(it.TABLE[name].sigma)
    assert found.kind == it.TABLE[name].kind and found.name == it.KINDS[found.kind]


def test_functions_that_are_not_in_the_table():
    assert it.solve(np.abs).kind == "scales"
    assert it.solve(np.sin).kind == "signs"
    assert it.solve(lambda x: x / (1 + np.exp(-x))).kind == "permutations"  # SiLU


def test_functions_that_are_not_elementwise_are_refused():
    def softmax(x):
        e = np.exp(x - x.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def normalised(x):
        return x / np.sqrt(2 + np.square(x).sum(1, keepdims=True))

    for sigma in (softmax, normalised):
        with pytest.raises(UserError, match="not elementwise"):
            it.solve(sigma)
    with pytest.raises(UserError, match="unit to unit"):
        it.solve(lambda x: x * np.arange(1, x.shape[1] + 1))
    with pytest.raises(UserError, match="kind of group"):
        it.sample_member("positives", 3)


def test_affine_functions_have_a_group_without_a_name():
    with pytest.raises(UserError, match="affine, 2 x"):
        it.solve(lambda x: 2 * x + 1)
    assert it.solve(lambda x: 3 * x).kind == "all"
    with pytest.raises(UserError, match="1 units"):
        it.solve(np.tanh, 1)


def test_dead_units_are_not_selective():
    A = torch.rand(200, 10, generator=torch.Generator().manual_seed(0)).relu()
    measured = it.selectivity(A)
    with_dead = it.selectivity(torch.cat([A, torch.zeros(200, 30)], 1))
    assert with_dead.pop("dead") == 0.75 and measured.pop("dead") == 0
    assert with_dead == measured
    assert it.selectivity(1e-8 * A)["sparsity"] == pytest.approx(measured["sparsity"])
    with pytest.raises(UserError, match="no unit responds"):
        it.selectivity(torch.zeros(5, 3))


def test_a_planted_permutation_with_scales_is_found_exactly():
    X = torch.rand(200, 30, generator=torch.Generator().manual_seed(0)).double()
    A = torch.from_numpy(it.sample_member("positive", 30, seed=2))
    order, scale, left = it.procrustes_positive(X, X @ A.T)
    assert left < 1e-12
    assert np.array_equal(order, A.numpy().argmax(1))
    assert np.allclose(scale, A.numpy().max(1))
    Q = rotated_basis(30).double()  # out of its reach
    assert it.procrustes_positive(X, X @ Q.T)[2] > 0.05


def test_members_keep_selectivity_and_rotations_do_not():
    X = torch.rand(150, 20, generator=torch.Generator().manual_seed(0)).square()
    member, Q = it.relu_member(20, seed=1), rotated_basis(20)
    kept, lost = it.selectivity(X @ member.T), it.selectivity((X - X.mean(0)) @ Q.T)
    assert kept == pytest.approx(it.selectivity(X), rel=1e-4)
    assert lost["sparsity"] < kept["sparsity"]


LAYERS = ("conv2d1", "mixed3a_1x1", "mixed3b_5x5_bottleneck", "mixed3b_pool_reduce", "mixed4a_3x3")


@pytest.mark.parametrize("architecture", [INCEPTION5H, BVLC_GOOGLENET])
def test_inception_computes_the_same_after_an_intertwiner(architecture):
    network = InceptionV1("mixed4b", architecture=architecture, seed=1).eval()
    x = torch.rand(2, 3, 95, 95, generator=torch.Generator().manual_seed(0))
    for seed, layer in enumerate(LAYERS):
        changed, change = ws.act_on(network, layer, seed=seed)
        assert change.kind == "positive" and change.layers == (layer,)
        assert ((change.scale >= 0.5) & (change.scale <= 2)).all() and change.scale.std() > 0.2
        assert ws.function_change(network, changed, x) < 1e-5
        there = network(x, layer)[:, change.order] * torch.from_numpy(change.scale)[:, None, None]
        assert torch.allclose(changed(x, layer), there.float(), rtol=1e-3, atol=1e-3)


def test_layers_that_feed_a_response_normalisation_are_refused():
    network = InceptionV1("mixed3a", seed=1).eval()
    x = torch.rand(1, 3, 63, 63, generator=torch.Generator().manual_seed(0))
    for layer in ("conv2d0", "conv2d2"):
        with pytest.raises(UserError, match="normalisation across channels"):
            ws.act_on(network, layer)
        changed, change = ws.act_on(network, layer, force=True)
        assert change.kind == "permutations"
        assert ws.function_change(network, changed, x) > 1e-3
    with pytest.raises(UserError, match="network's output"):
        ws.act_on(network, "mixed3a_1x1")
    with pytest.raises(UserError, match="conv2d9"):
        ws.act_on(network, "conv2d9")


class Residual(nn.Module):
    """A stem, two blocks that share a stream, and a head."""

    def __init__(self, act=nn.ReLU, groups=1):
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.inner, self.inner_norm = nn.Conv2d(8, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.outer, self.outer_norm = (
            nn.Conv2d(6, 8, 3, padding=1, groups=groups),
            nn.BatchNorm2d(8),
        )
        self.side = nn.Conv2d(8, 4, 1)
        self.act, self.pool = act(), nn.AdaptiveAvgPool2d(2)
        self.head = nn.Linear(4 * 12, 5)

    def forward(self, x):
        x = self.act(self.stem_norm(self.stem(x)))
        x = self.act(x + self.outer_norm(self.outer(self.act(self.inner_norm(self.inner(x))))))
        x = torch.cat([self.act(self.side(x)), x], 1)
        return self.head(self.pool(x).flatten(1))


def seeded(network, seed=0):
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.dtype == torch.float32:
                value.copy_(
                    torch.rand(value.shape, generator=draw) - (0.5 if "var" not in name else -0.5)
                )
    return network.eval()


def test_residual_streams_share_a_member_and_carry_batch_norm_along():
    network = seeded(Residual())
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    found = ws.streams(network)
    assert found["stem"] is found["outer"] and found["stem"] is not found["inner"]
    assert found["head"].reasons == ["the network's output"]
    for layer in ("stem", "inner", "side"):
        changed, change = ws.act_on(network, layer, seed=3)
        assert ws.function_change(network, changed, x) < 1e-5
        moved = {n for n, v in changed.state_dict().items() if not v.equal(network.state_dict()[n])}
        expected = {
            "stem": {"stem_norm", "outer_norm", "inner"},
            "inner": {"inner_norm", "outer"},
            "side": {"side", "head"},
        }[layer]
        assert expected <= {name.split(".")[0] for name in moved}
    rows = {row["layers"]: row for row in ws.table(network)}
    assert rows["head"]["refused"] and not rows["inner"]["refused"]


@pytest.mark.parametrize(
    ("act", "kind"), [(nn.Tanh, "signs"), (nn.GELU, "permutations"), (nn.LeakyReLU, "positive")]
)
def test_the_member_is_of_the_nonlinearitys_group(act, kind):
    network = seeded(Residual(act))
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    changed, change = ws.act_on(network, "inner", seed=1)
    assert change.kind == kind
    assert ws.function_change(network, changed, x) < 1e-5


def test_convolutions_in_groups_are_refused():
    with pytest.raises(UserError, match="in groups"):
        ws.act_on(seeded(Residual(groups=2)), "inner")


class Odd(nn.Module):
    """Two layers, put together in ways that a careless change of weights would break."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)
        self.c = nn.Conv2d(4, 3, 1)
        self.n = nn.BatchNorm2d(4, affine=how != "plain norm")
        self.deep, self.flat = nn.Linear(16, 2), nn.Flatten(2)
        if how == "weight norm":
            self.a = torch.nn.utils.parametrizations.weight_norm(self.a)
        if how == "tied":
            self.a = nn.Conv2d(3, 3, 1)
            self.b = nn.Conv2d(3, 3, 1)
            self.b.weight = self.a.weight

    def forward(self, x):
        y = self.a(x)
        match self.how:
            case "twice":
                return self.b(torch.relu(self.a(torch.relu(self.b(torch.relu(y))))))
            case "norm and raw":
                return self.b(torch.relu(self.n(y))) + self.c(torch.relu(y))
            case "norm and sum":
                return self.b(torch.relu(self.n(y)) + y)
            case "flat from two":
                return self.deep(torch.flatten(torch.relu(y), 2))
            case "module flat from two":
                return self.deep(self.flat(torch.relu(y)))
            case "plain norm":
                return self.b(torch.relu(self.n(y)))
            case _:
                return self.b(torch.relu(y))


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("twice", "more than once"),
        ("tied", "more than once"),
        ("norm and raw", "batch normalisation of its own"),
        ("norm and sum", "batch normalisation of its own"),
        ("flat from two", "more than one dimension"),
        ("module flat from two", "more than one dimension"),
        ("plain norm", "no scales or no statistics"),
        ("weight norm", "from other parameters"),
    ],
)
def test_what_is_not_understood_is_refused_not_broken(how, why):
    network = Odd(how).eval()
    with pytest.raises(UserError, match=why):
        ws.act_on(network, "a")


def test_flattening_from_the_channels_on_is_followed():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.out = nn.Conv2d(3, 4, 1), nn.Linear(64, 2)

        def forward(self, x):
            y = torch.relu(self.a(x))
            return self.out(y.view(y.size(0), -1)) + self.out(torch.flatten(y, start_dim=1))

    class Once(Flat):
        def forward(self, x):
            y = torch.relu(self.a(x))
            return self.out(y.view(y.size(0), -1))

    x = torch.rand(2, 3, 4, 4)
    network = Once().eval()
    assert ws.function_change(network, ws.act_on(network, "a")[0], x) < 1e-6
    with pytest.raises(UserError, match="more than once"):
        ws.act_on(Flat().eval(), "a")
    with pytest.raises(UserError, match="no Conv2d"):
        ws.act_on(nn.ReLU(), "a")
