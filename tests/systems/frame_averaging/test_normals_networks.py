"""Networks of normals: numbers of weights, loops over frames as oracles, laws, mirrors, masks, bad input."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from intertwine.errors import ConfigError, NumericsError, ShapeError
from intertwine.groups import O
from intertwine.nn import PointNet
from intertwine.nn.edge_conv import edge_features
from intertwine.points import nearest_neighbours
from intertwine.symmetry import equivariance_error
from intertwine.systems.frame_averaging.model import dgcnn as dgcnn_module
from intertwine.systems.frame_averaging.model.dgcnn import DGCNNNormals
from intertwine.systems.frame_averaging.model.local_pointnet import LocalPointNetNormals
from intertwine.systems.frame_averaging.model.pointnet import PointNetNormals, TransformNet, transform_penalty
from intertwine.systems.frame_averaging.model.vn_dgcnn import VNDGCNNNormals
from intertwine.systems.frame_averaging.model.vn_pointnet import VNPointNetNormals
from intertwine.systems.frame_averaging.settings.framing import FrameSettings
from intertwine.systems.frame_averaging.settings.normals import NormalsModelSettings
from intertwine.systems.frame_averaging.training.normals import make_network
from intertwine.testing import ModuleContract

DOUBLE = torch.float64
NONE = FrameSettings(kind="none")
ALL = {
    "fa-pointnet": {},
    "pointnet": {"frame": NONE, "transforms": True},
    "fa-local-pointnet": {"network": "local_pointnet", "neighbours": 8},
    "fa-dgcnn": {"network": "dgcnn", "neighbours": 8, "pool": "mean", "skip_input": True},
    "dgcnn": {"network": "dgcnn", "neighbours": 8, "frame": NONE},
    "vn-pointnet": {"network": "vn_pointnet", "neighbours": 8},
    "vn-dgcnn": {"network": "vn_dgcnn", "neighbours": 8},
}
FRAMED = ("fa-pointnet", "fa-local-pointnet", "fa-dgcnn")


def build(name="fa-pointnet", seed=5, **options):
    settings = NormalsModelSettings(**{"narrower": 8} | ALL[name] | options)
    network = make_network(settings, rng=torch.Generator().manual_seed(seed)).double()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # norms as after some training
        for part in network.modules():
            if isinstance(part, nn.BatchNorm1d):
                part.weight.copy_(torch.randn(part.weight.shape, generator=draw) + 1)
                part.bias.copy_(torch.randn(part.bias.shape, generator=draw) / 2)
                part.running_mean.copy_(torch.randn(part.running_mean.shape, generator=draw) / 4)
    return network.eval()


@pytest.fixture
def points(rng):
    """Three clouds whose principal axes stand well apart."""
    return torch.randn(3, 40, 3, generator=rng, dtype=DOUBLE) * torch.tensor([1.0, 2.0, 4.0], dtype=DOUBLE)


@pytest.mark.parametrize(
    ("name", "options", "weights"),
    [
        ("fa-pointnet", {}, 2_509_699),
        ("pointnet", {}, 8_332_236),
        ("fa-local-pointnet", {"neighbours": 20}, 2_776_318),
        # the published networks also hold a norm of 64 channels that they never use
        ("fa-dgcnn", {"neighbours": 40}, 1_440_009 - 2 * 64),
        ("dgcnn", {"neighbours": 40}, 1_436_937 - 2 * 64),
    ],
)
def test_networks_have_the_published_numbers_of_weights(name, options, weights):
    network = make_network(NormalsModelSettings(**ALL[name] | {"narrower": 1} | options))
    assert sum(weight.numel() for weight in network.parameters()) == weights


# --- oracles ---------------------------------------------------------------------------------------------


def frames_of(cloud):
    """Centroid and the eight elements of a frame of E(3), by numpy."""
    centre = cloud.mean(0)
    axes = np.linalg.eigh((cloud - centre).T @ (cloud - centre))[1]
    return centre, [axes * np.array(signs) for signs in itertools.product((1, -1), repeat=3)]


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_fa_pointnet_is_the_mean_of_the_plain_network_over_eight_views(points):
    """A loop over clouds and frames of the network that is written out; in evaluation, where norms are fixed."""
    network = build()
    plain = PointNet(3, (8, 16, 16, 64, 256), (32, 32, 16), 3, fused=False).double().eval()
    plain.load_state_dict(network.backbone.state_dict())
    for cloud, found in zip(points.numpy(), network(points).detach().numpy(), strict=True):
        centre, frames = frames_of(cloud)
        total = 0
        for frame in frames:
            seen = torch.from_numpy((cloud - centre) @ frame)
            total = total + plain(seen.unsqueeze(0))[0].detach().numpy() @ frame.T
        np.testing.assert_allclose(found, unit(total / 8), rtol=1e-9, atol=1e-10)


def test_a_training_step_equals_that_of_the_plain_network_on_all_frames_at_once(points):
    """Norms learn from all frames of the batch together, in both."""
    network = build().train()
    plain = PointNet(3, (8, 16, 16, 64, 256), (32, 32, 16), 3, fused=False).double().train()
    plain.load_state_dict(network.backbone.state_dict())
    views = [
        [(cloud - centre) @ frame for frame in frames]
        for cloud in points.numpy()
        for centre, frames in [frames_of(cloud)]
    ]
    back = torch.tensor(np.array([frames for cloud in points.numpy() for _, frames in [frames_of(cloud)]]))
    seen = torch.tensor(np.array(views))
    expected = (plain(seen.flatten(0, 1)).unflatten(0, (3, 8)) @ back.mT).mean(1)
    expected = expected / expected.norm(dim=-1, keepdim=True)
    found = network(points)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)
    factor = torch.linspace(-1, 1, found.numel(), dtype=DOUBLE).view_as(found)
    (found * factor).sum().backward()
    (expected * factor).sum().backward()
    for one, other in zip(network.backbone.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-6, atol=1e-8)


def test_fa_local_pointnet_against_loops(points):
    network = build("fa-local-pointnet")
    cloud = points[0].numpy()
    distances = np.linalg.norm(cloud[:, None] - cloud[None], axis=-1)
    vectors = []
    for row in distances:
        patch = cloud[np.argsort(row)[:8]]
        centre, frames = frames_of(patch)
        seen = np.array([((patch - centre) @ frame).ravel() for frame in frames])
        made = network.patch(torch.from_numpy(seen))[-1].detach().numpy().reshape(8, -1, 3)
        vectors.append(np.mean([one @ frame.T for one, frame in zip(made, frames, strict=True)], axis=0))
    vectors = np.array(vectors)
    np.testing.assert_allclose(network.patch_vectors(points[:1])[0].detach().numpy(), vectors, rtol=1e-8, atol=1e-9)
    centre, frames = frames_of(vectors.reshape(-1, 3))
    total = 0
    for frame in frames:
        seen = torch.from_numpy(((vectors - centre) @ frame).reshape(1, 40, -1))
        total = total + network.network(seen)[0].detach().numpy() @ frame.T
    np.testing.assert_allclose(network(points[:1])[0].detach().numpy(), unit(total), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", ["fa-dgcnn", "dgcnn"])
def test_dgcnn_against_features_copied_to_every_edge(name, points):
    network = build(name)
    settings, backbone = network.settings, network.backbone
    pool = (lambda x, axis: x.amax(axis)) if settings.pool == "max" else (lambda x, axis: x.mean(axis))

    def convolved(layer, features, largest):
        edges = edge_features(features, nearest_neighbours(features, 8))
        for step, norm in zip(layer.maps, layer.norms, strict=True):
            edges = nn.functional.leaky_relu(norm((edges @ step.weight.T).flatten(0, 2)), 0.2).view(
                *edges.shape[:3], -1
            )
        return edges.amax(2) if largest else pool(edges, 2)

    def mapped(step, features):
        return nn.functional.leaky_relu(step.norm((features @ step.map.weight.T).flatten(0, -2)), 0.2).view(
            *features.shape[:-1], -1
        )

    def vectors(seen):
        net = backbone.transform
        hidden = mapped(net.pooled, convolved(net.edges, seen, True)).amax(1)
        for step in net.hidden:
            hidden = mapped(step, hidden)
        features, found = seen @ net.last(hidden).view(-1, 3, 3), []
        for layer in backbone.convolutions:
            features = convolved(layer, features, settings.pool == "max")
            found.append(features)
        joined = torch.cat(([seen] if settings.skip_input else []) + found, -1)
        pooled = pool(mapped(backbone.pooled, joined), 1).unsqueeze(1).expand(-1, seen.shape[1], -1)
        hidden = torch.cat([pooled, *found], -1)
        for step in backbone.head:
            hidden = mapped(step, hidden)
        return torch.sigmoid(backbone.last(hidden)) * 2 - 1

    for cloud, found in zip(points, network(points).detach().numpy(), strict=True):
        if name == "dgcnn":
            expected = vectors(cloud.unsqueeze(0))[0].detach().numpy()
        else:
            centre, frames = frames_of(cloud.numpy())
            seen = torch.from_numpy(np.array([(cloud.numpy() - centre) @ frame for frame in frames]))
            expected = np.mean([v @ f.T for v, f in zip(vectors(seen).detach().numpy(), frames, strict=True)], axis=0)
        np.testing.assert_allclose(found, unit(expected), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("products", [False, True])
def test_vn_dgcnn_against_loops_over_points_and_neighbours(products, points):
    """Written out for one cloud with arrays (channels, 3), from weights alone."""
    network = build("vn-dgcnn", cross_products=products)

    def mapped(block, x):
        linear, norm, bend = block
        x = linear.weight.detach().numpy() @ x
        length = np.sqrt((x**2).sum(1) + 1e-12)
        own = norm.norm
        scale = own.weight.detach().numpy() / np.sqrt(own.running_var.numpy() + own.eps)
        x = x * ((length - own.running_mean.numpy()) * scale + own.bias.detach().numpy())[:, None] / length[:, None]
        towards = bend.direction.weight.detach().numpy() @ x
        along = (x * towards).sum(1) / ((towards**2).sum(1) + 1e-6)
        return x - 0.8 * np.minimum(along, 0)[:, None] * towards

    cloud = points[0].numpy() - points[0].numpy().mean(0)
    features, found = cloud[:, None], []
    for convolution in network.convolutions:
        new = []
        for own in features:
            near = np.argsort(((features - own) ** 2).sum((1, 2)))[:8]
            edges = []
            for other in features[near]:
                edge = np.concatenate([other - own, own, *([np.cross(other - own, own)] if products else [])])
                for block in convolution:
                    edge = mapped(block, edge)
                edges.append(edge)
            new.append(np.mean(edges, axis=0))
        features = np.array(new)
        found.append(features)
    joined = np.concatenate(found, axis=1)
    shared = np.mean([mapped(network.wide, x) for x in joined], axis=0)
    vectors = []
    for x in joined:
        x = np.concatenate([shared, x])
        for block in network.head:
            x = mapped(block, x)
        vectors.append((network.last.weight.detach().numpy() @ x)[0])
    np.testing.assert_allclose(network(points)[0].detach().numpy(), unit(np.array(vectors)), rtol=1e-8, atol=1e-9)


def test_neighbours_of_points_are_found_once_for_all_frames(points, monkeypatch):
    seen = []

    def counted(given, k, mask=None):
        seen.append(tuple(given.shape))
        return nearest_neighbours(given, k, mask)

    monkeypatch.setattr(dgcnn_module, "nearest_neighbours", counted)
    build("fa-dgcnn")(points)
    assert seen[0] == (3, 40, 3), "the clouds, not their frames"
    assert [shape[0] for shape in seen[1:]] == [24, 24, 24], "features differ from frame to frame"


# --- laws ------------------------------------------------------------------------------------------------


class _Normals(ModuleContract):
    """Bounds: axes turn by rounding over the gap of their eigenvalues, which is small for some patches."""

    name = "fa-pointnet"
    differentiable = 1
    compiles = False  # pooling and neighbours are loops over blocks
    epsilons = 1e-10 / torch.finfo(DOUBLE).eps
    precision_epsilons = 1e5

    def build(self):
        return build(self.name).float()

    def inputs(self, rng, dtype):
        scale = torch.tensor([1.0, 2.0, 4.0], dtype=dtype)
        return {"points": torch.randn(2, 30, 3, generator=rng, dtype=dtype) * scale}

    def singles(self, rng, dtype):
        return [{"points": self.inputs(rng, dtype)["points"][:1]} for _ in range(3)]

    def join(self, singles):
        return {"points": torch.cat([single["points"] for single in singles])}

    def empty_inputs(self, dtype):
        return {"points": torch.zeros(0, 30, 3, dtype=dtype)}


class TestFAPointNet(_Normals):
    pass


class TestPointNetBaseline(_Normals):
    name = "pointnet"


class TestFALocalPointNet(_Normals):
    name = "fa-local-pointnet"


class TestFADGCNN(_Normals):
    name = "fa-dgcnn"


class TestDGCNNBaseline(_Normals):
    name = "dgcnn"


class TestVNPointNet(_Normals):
    name = "vn-pointnet"


class TestVNDGCNN(_Normals):
    name = "vn-dgcnn"


@pytest.mark.parametrize("name", [*FRAMED, "vn-pointnet", "vn-dgcnn"])
def test_far_and_turned_clouds_have_turned_normals(name, points, rng):
    """Translations up to 100: below 1e-10 in float64, 1e-4 in float32; patches have smaller gaps (measured 1.1e-4)."""
    network = build(name)
    turn = O(3).sample(rng=rng, dtype=DOUBLE)
    moved = points @ turn.T + torch.tensor([60.0, -70.0, 30.0], dtype=DOUBLE)
    torch.testing.assert_close(network(moved), network(points) @ turn.T, rtol=0, atol=1e-10)
    single = network.float()
    expected = single(points.float()) @ turn.float().T
    torch.testing.assert_close(single((points @ turn.T + 1).float()), expected, rtol=0, atol=2e-3)
    error = (single((points @ turn.T).float()) - expected).norm() / expected.norm()
    assert error < (5e-4 if name == "fa-local-pointnet" else 1e-4)


@pytest.mark.parametrize("name", ["pointnet", "dgcnn"])
def test_baselines_know_no_rotation(name, points, rng):
    network = build(name)
    turn = O(3).sample(rng=rng, dtype=DOUBLE)
    assert (network(points @ turn.T) - network(points) @ turn.T).abs().max() > 0.05


def test_frames_of_rotations_see_mirror_images_and_those_of_reflections_do_not(points):
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=DOUBLE))
    both, proper = build(), build(frame=FrameSettings(group="SE(3)"))
    proper.load_state_dict(both.state_dict())
    torch.testing.assert_close(both(points @ mirror), both(points) @ mirror, rtol=0, atol=1e-10)
    assert (proper(points @ mirror) - proper(points) @ mirror).abs().max() > 1e-3
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE))[0]
    turn = turn * torch.linalg.det(turn).sign()
    torch.testing.assert_close(proper(points @ turn.T), proper(points) @ turn.T, rtol=0, atol=1e-10)


def test_vectors_of_flat_patches_lie_in_their_plane_unless_frames_are_rotations(rng):
    """The reflection through the plane keeps a flat patch, and is in every frame of E(3) of it."""
    points = torch.randn(1, 40, 3, generator=rng, dtype=DOUBLE) * torch.tensor([1.0, 2.0, 0.0], dtype=DOUBLE)
    turn = O(3).sample(rng=rng, dtype=DOUBLE)
    normal = turn[:, 2]
    both = build("fa-local-pointnet").patch_vectors(points @ turn.T)
    assert (both @ normal).abs().max() < 1e-10
    assert both.abs().max() > 1e-2
    proper = build("fa-local-pointnet", frame=FrameSettings(group="SE(3)")).patch_vectors(points @ turn.T)
    assert (proper @ normal).abs().max() > 1e-2


def test_norms_that_learn_keep_the_law_for_one_motion_of_the_batch_and_dropout_breaks_it(points, rng):
    turn = O(3).sample(rng=rng, dtype=DOUBLE)
    for name in FRAMED:
        network = build(name, **({"dropout": 0.0} if name == "fa-dgcnn" else {})).train()
        torch.testing.assert_close(network(points @ turn.T + 2), network(points) @ turn.T, rtol=0, atol=1e-8)
    network = build().train()
    apart = torch.cat([points[:1] @ turn.T, 3 * points[1:2] + 1, points[2:]])
    alone = network(points)[:1] @ turn.T
    assert (network(apart)[:1] - alone).abs().max() > 1e-3, "statistics are those of the other clouds too"
    dropping = build("fa-dgcnn", dropout=0.5).train()
    assert (dropping(points @ turn.T) - dropping(points) @ turn.T).abs().max() > 1e-3


@pytest.mark.parametrize("name", list(ALL))
def test_masked_clouds_equal_clouds_alone(name, points):
    network = build(name)
    sizes = (40, 25, 12)
    mask = torch.arange(40) < torch.tensor(sizes).unsqueeze(1)
    padded = torch.where(mask.unsqueeze(-1), points, 7.0)
    together = network(padded, mask)
    for cloud, size in enumerate(sizes):
        alone = network(points[cloud : cloud + 1, :size])[0]
        torch.testing.assert_close(together[cloud, :size], alone, rtol=0, atol=1e-12)


def learnt(network, points, mask=None):
    """Outputs of one step with norms that learn, gradients of all weights, and what norms remember."""
    network.train()
    found = network(points, mask)
    present = torch.ones(points.shape[:2], dtype=torch.bool) if mask is None else mask
    factor = torch.linspace(-1, 1, int(present.sum()) * 3, dtype=DOUBLE).view(-1, 3)
    (found[present] * factor).sum().backward()
    # those of weights that take no part are None: the biases before norms in the fused network
    gradients = {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}
    return found[present].detach(), gradients, dict(network.named_buffers())


@pytest.mark.parametrize("name", list(ALL))
def test_norms_learn_from_points_that_exist_and_not_from_padding(name, points):
    """Padding of any length, with anything in it, gives the outputs, gradients and statistics of the clouds alone."""
    options = {"dropout": 0.0} if "dgcnn" in name else {}

    def padded(clouds, length):
        mask = torch.arange(length) < torch.tensor([len(cloud) for cloud in clouds]).unsqueeze(1)
        filled = torch.full((len(clouds), length, 3), torch.nan, dtype=DOUBLE)
        for row, cloud in zip(filled, clouds, strict=True):
            row[: len(cloud)] = cloud
        return filled, mask

    same = learnt(build(name, **options), *padded(list(points[:, :30]), 37))
    torch.testing.assert_close(same, learnt(build(name, **options), points[:, :30]), rtol=1e-8, atol=1e-10)
    ragged = [points[0], points[1, :25], points[2, :12]]
    short, long = (learnt(build(name, **options), *padded(ragged, length)) for length in (40, 55))
    torch.testing.assert_close(short, long, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", ["weighted", "minimal"])
def test_other_frames_keep_the_law_that_they_declare(kind, rng):
    network = build(frame=FrameSettings(kind=kind, tuples=6 if kind == "weighted" else None))
    points = torch.randn(2, 9, 3, generator=rng, dtype=DOUBLE)
    network.draws = torch.Generator().manual_seed(0)
    if kind == "minimal":
        assert equivariance_error(network, {"points": points}, trials=4, rng=rng).worst.relative < 1e-10
    assert network(points).isfinite().all()


def test_minimal_frames_in_canonical_order_keep_the_order_of_points_too(points, rng):
    network = build(frame=FrameSettings(kind="minimal", points="canonical"))
    report = equivariance_error(network, {"points": points}, trials=4, rng=rng)
    assert report.worst.relative < 1e-10
    assert {entry.part for entry in report.entries} >= {"permutations", "translations"}
    given = build(frame=FrameSettings(kind="minimal"))
    broken = equivariance_error(given, {"points": points}, symmetry=network.symmetry, trials=4, rng=rng)
    assert broken.worst.relative > 1e-3


@pytest.mark.parametrize("name", ["fa-pointnet", "fa-dgcnn"])
def test_planar_frames_leave_the_upright_direction_its_meaning(name, points, rng):
    network = build(name, frame=FrameSettings(kind="planar", group="E(2)"))
    assert "E(2) in 3D" in str(network.symmetry.group)
    assert equivariance_error(network, {"points": points}, trials=4, rng=rng).worst.relative < 1e-10
    tilted = equivariance_error(network, {"points": points}, symmetry=build(name).symmetry, trials=4, rng=rng)
    assert tilted.worst.relative > 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "planar"}, r"E\(2\), SE\(2\)"),
        ({"kind": "pca", "group": "E(2)"}, r"E\(3\), SE\(3\)"),
        ({"kind": "finite"}, "digits.model.motions"),
        ({"kind": "pca", "points": "canonical"}, "except with kind minimal"),
        ({"kind": "minimal", "signs": "fixed"}, "except with kinds pca and planar"),
    ],
)
def test_frames_that_make_no_sense_are_refused_in_words(options, words):
    with pytest.raises(ConfigError, match=words):
        FrameSettings(**options)


def test_learned_frames_keep_the_law_and_learn(rng):
    network = build(frame=FrameSettings(kind="learned"))
    points = torch.randn(2, 40, 3, generator=rng, dtype=DOUBLE)
    assert equivariance_error(network, {"points": points}, trials=4, rng=rng).worst.relative < 1e-9
    network.train()
    network(points).sum().backward()
    assert any(weight.grad is not None and weight.grad.abs().max() > 0 for weight in network.frame.parameters())
    assert len(dict(network.named_parameters())) == len({id(weight) for weight in network.parameters()})


def test_drawn_elements_average_to_the_frame(points):
    network = build(frame=FrameSettings(mode="stochastic", samples=1))
    assert network.mode == "stochastic"
    network.draws = torch.Generator().manual_seed(0)
    one, other = network(points), network(points)
    assert not torch.equal(one, other)
    network.mode = "all"
    full = build()
    full.load_state_dict(network.state_dict())
    torch.testing.assert_close(network(points), full(points))


def test_fixed_signs_are_no_symmetry_and_declare_none(points, rng):
    network = build(frame=FrameSettings(signs="fixed"))
    assert "T(3)" in str(network.symmetry.group)
    turn = O(3).sample(rng=rng, dtype=DOUBLE)
    assert (network(points @ turn.T) - network(points) @ turn.T).abs().max() > 1e-3


# --- T-nets ----------------------------------------------------------------------------------------------


def test_maps_begin_near_the_identity_and_their_penalty_sees_what_is_not_orthogonal(points, rng):
    network = build("pointnet")
    normals, transforms = network.with_transforms(points)
    assert transforms.shape == (3, 16, 16)
    torch.testing.assert_close(normals, network(points))
    found = TransformNet(3, 8)
    with torch.no_grad():
        for weight in found.last.parameters():
            weight.zero_()
    rows = points.float().flatten(0, 1)
    assert torch.equal(found(rows, (40, 40, 40)), torch.eye(3).expand(3, 3, 3))
    orthogonal = O(3).sample(4, rng=rng, dtype=DOUBLE)
    assert transform_penalty(orthogonal).item() < 1e-14
    assert transform_penalty(2 * orthogonal).item() == pytest.approx(3 * 3**0.5)
    assert transform_penalty(orthogonal, "published").item() > 1, "the published form pulls towards the identity"
    assert transform_penalty(torch.eye(3, dtype=DOUBLE).expand(2, 3, 3), "published").item() == 0


@pytest.mark.parametrize("name", ["vn-pointnet", "vn-dgcnn"])
def test_vector_products_make_vector_neurons_follow_rotations_alone(name, points, rng):
    network = build(name, cross_products=True)
    assert "SE(3)" in str(network.symmetry.group)
    assert equivariance_error(network, {"points": points}, trials=4, rng=rng).worst.relative < 1e-9
    assert (network(-points) + network(points)).abs().max() > 1e-3


def test_transforms_may_be_averaged_over_frames_too(points, rng):
    network = build("pointnet", frame=FrameSettings())
    normals, transforms = network.with_transforms(points)
    assert transforms.shape == (24, 16, 16)
    torch.testing.assert_close(normals, network(points))
    turn = O(3).sample(rng=rng, dtype=DOUBLE)
    torch.testing.assert_close(network(points @ turn.T), normals @ turn.T, rtol=0, atol=1e-10)


# --- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(ALL))
def test_clouds_that_cannot_be_used_are_refused(name, points):
    network = build(name)
    with pytest.raises(ShapeError, match="clouds in space"):
        network(points[0])
    with pytest.raises(ShapeError, match="clouds in space"):
        network(points, torch.ones(3, 39, dtype=torch.bool))
    if name != "pointnet":
        with pytest.raises(NumericsError, match="finite"):
            network(torch.full_like(points, torch.nan))
    if "neighbours" in ALL[name]:
        with pytest.raises(ShapeError, match="too few points"):
            network(points[:, :5])


@pytest.mark.parametrize("cloud", ["one point", "coincident", "a line", "a plane", "a cube"])
def test_degenerate_clouds_have_finite_normals(cloud):
    corners = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=DOUBLE)
    points = {
        "one point": corners[:1],
        "coincident": corners[:1].expand(8, 3),
        "a line": corners[:2],
        "a plane": corners[:4],
        "a cube": corners,
    }[cloud]
    assert build()(points.unsqueeze(0)).isfinite().all()


def test_settings_that_do_not_fit_are_refused():
    for options in (
        {"network": "local_pointnet", "frame": NONE},
        {"network": "dgcnn", "transforms": True},
        {"neighbours": 1},
        {"cross_products": True},
        {"narrower": 0},
        {"dropout": 1.0},
    ):
        with pytest.raises(ConfigError):
            NormalsModelSettings(**options)


def test_networks_are_those_that_settings_name():
    plain, edges = PointNetNormals, DGCNNNormals
    kinds = (plain, plain, LocalPointNetNormals, edges, edges, VNPointNetNormals, VNDGCNNNormals)
    for name, kind in zip(ALL, kinds, strict=True):
        assert isinstance(build(name), kind)
