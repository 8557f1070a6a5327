"""Posed bodies: check values, posing against a loop, points of the skin, parts and their centres, splits, bad files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from apen_samples import PARTS, SEQUENCES, body_arrays, write_bodies

from intertwine.errors import DataError
from intertwine.systems.apen.data import HumanClouds, read_bodies, split_bodies
from intertwine.systems.apen.data.human import merged_sides
from intertwine.systems.apen.model import APEN
from intertwine.systems.apen.settings import DataSettings, ModelSettings
from intertwine.training import find_data

SHARES = ".060 .108 .070 .026 .007 .108 .071 .026 .007 .084 .053 .068 .018 .099 .006 .044 .027 .021 .008 .043 .027 .021"


@pytest.fixture(scope="module")
def people():
    return read_bodies(find_data("apen_human"))


@pytest.fixture
def toys(tmp_path):
    return read_bodies(write_bodies(tmp_path / "bodies"))


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def pairs(bodies):
    """All bodies in all poses."""
    poses = sum(len(motion) for motion in bodies.motions.values())
    return torch.cartesian_prod(torch.arange(len(bodies.subjects)), torch.arange(poses)).T


def posed_by_a_loop(subject, sequence, frame, rigid):
    """The vertices of a toy body in a pose, from the formula, one vertex and one part at a time."""
    arrays = body_arrays()
    turns, root = (arrays["motions"][f"{kind}_{sequence}"][frame].astype(float) for kind in ("rot", "root"))
    joints = arrays["subjects"]["joints"][subject].astype(float)
    placed = [root]
    for part, parent in enumerate(arrays["template"]["part_parent"]):
        if part:
            placed.append(turns[parent] @ (joints[part] - joints[parent]) + placed[parent])
    found = []
    for vertex, weights in zip(
        arrays["subjects"]["vertices"][subject], arrays["template"]["part_weights"], strict=True
    ):
        moved = [turns[j] @ (vertex - joints[j]) + placed[j] for j in range(3)]
        weights = weights / weights.sum()
        found.append(moved[weights.argmax()] if rigid else sum(w * m for w, m in zip(weights, moved, strict=True)))
    return np.stack(found)


# --- posing ----------------------------------------------------------------------------------------------


@pytest.mark.data("apen_human")
def test_check_values(people):
    subject, pose = torch.tensor([0]), torch.tensor([people.frame("02_01", 7)])
    smooth, rigid = people.pose(subject, pose)[0], people.pose(subject, pose, "rigid")[0]
    wanted = [(0.50332345, 1.67972416, -0.80541248), (0.48889937, 0.21996896, -0.51117819)]
    assert smooth[[0, 5000]].numpy() == pytest.approx(np.array(wanted), abs=1e-7)
    joints = [(0.58384, 0.11035, -1.14971), (0.71762, 1.05977, -0.68521), (0.52597, 1.62399, -0.90112)]
    # printed of rotations in single precision; ours are orthogonal
    assert people.joint_positions(subject, pose)[0, [4, 17, 13]].numpy() == pytest.approx(np.array(joints), abs=1e-5)
    apart = (smooth - rigid).norm(dim=-1)
    assert float(apart.mean()) == pytest.approx(1.4e-3, abs=5e-5)
    assert float((apart < 5e-3).double().mean()) == pytest.approx(0.915, abs=5e-4)


@pytest.mark.data("apen_human")
def test_what_the_data_hold(people):
    assert len(people.parts) == 22
    assert people.vertices.shape == (6, 13380, 3)
    assert people.faces.shape == (26756, 3)
    assert len(people.motions) == 18
    assert pairs(people).shape[1] == 7038
    assert merged_sides(people.parts)[1].tolist() == [
        *(0, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9),
        *(10, 11, 12, 13, 10, 11, 12, 13),
    ]


@pytest.mark.data("apen_human")
def test_shares_of_area(people):
    """Of points on all bodies at once; the figures were measured on a few of them."""
    every = pairs(people)[:, ::60]
    clouds = HumanClouds(people, every[0], every[1], 2048)
    labels = torch.cat([batch.labels for batch in clouds.batches(64)])
    shares = torch.bincount(labels, minlength=22) / len(labels)
    assert shares.numpy() == pytest.approx(np.array([float(share) for share in SHARES.split()]), abs=8e-3)


@pytest.mark.parametrize("kind", ["smooth", "rigid"])
def test_posing_is_the_formula(toys, kind):
    for subject, sequence, frame in [(0, "walk", 0), (1, "jump", 2), (0, "sit", 4)]:
        pose = toys.frame(sequence, frame)
        found = toys.pose(torch.tensor([subject]), torch.tensor([pose]), kind)[0]
        assert found.numpy() == pytest.approx(posed_by_a_loop(subject, sequence, frame, kind == "rigid"), abs=1e-6)


def test_several_poses_at_once_are_those_alone(toys):
    every = pairs(toys)
    together = toys.pose(every[0], every[1])
    for place in (0, 7, 23):
        assert torch.equal(together[place], toys.pose(*every[:, place : place + 1])[0])


# --- points ----------------------------------------------------------------------------------------------


def rest_and_posed(bodies, kind, count=200):
    every = pairs(bodies)
    every = every[:, :: max(every.shape[1] // 20, 1)]
    clouds = HumanClouds(bodies, every[0], every[1], count, kind=kind)
    return clouds.draw_in(range(len(clouds)), generators(*range(len(clouds))), torch.float64)


def distances(points):
    return (points.unsqueeze(1) - points).norm(dim=-1)


def worst_change_of_distance(batch, rest):
    """The largest change of a distance between two points of one part, from rest to pose."""
    worst = 0.0
    for part in range(int(batch.instances.max()) + 1):
        mine = batch.instances == part
        change = distances(batch.positions[mine]) - distances(rest[mine])
        worst = max(worst, float(change.abs().max()))
    return worst


def test_rigid_parts_keep_their_distances_and_smooth_ones_do_not(toys):
    assert worst_change_of_distance(*rest_and_posed(toys, "rigid")) < 1e-12
    assert worst_change_of_distance(*rest_and_posed(toys, "smooth")) > 1e-2


@pytest.mark.data("apen_human")
def test_rigid_parts_of_people_keep_their_distances(people):
    batch, rest = rest_and_posed(people, "rigid")
    assert worst_change_of_distance(batch, rest) < 1e-12, "rotations are made orthogonal in double precision"


@pytest.mark.data("apen_human")
def test_a_network_that_knows_the_parts_does_not_see_the_pose(people):
    """The same points of rigid bodies in two poses each; with cells that mix parts the answers differ."""
    settings = ModelSettings(
        classes=22, sigma=(0.05, 0.1), scalars=8, vectors=2, widths=(8, 8), hidden=8, head=(8,), cells=16
    )
    frames = [("02_01", 7), ("01_05", 30), ("03_02", 20), ("02_05", 40), ("01_01", 3), ("02_04", 11)]
    poses = torch.tensor([people.frame(name, frame) for name, frame in frames])
    clouds = HumanClouds(people, torch.tensor([3, 3, 0, 0, 5, 5]), poses, 300, kind="rigid")
    one, two = (clouds.draw_in(places, generators(5, 6, 7), torch.float64)[0] for places in ([0, 2, 4], [1, 3, 5]))
    assert torch.equal(one.instances, two.instances)
    assert not torch.allclose(distances(one.positions), distances(two.positions), atol=0.1)
    for partition, wanted in [("oracle", True), ("fixed", False)]:
        network = APEN(replace(settings, partition=partition), rng=torch.Generator().manual_seed(0)).double().eval()
        true = {"true_part": one.instances} if partition == "oracle" else {}
        with torch.no_grad():
            found = [network(**batch.inputs(), **true)["logits"] for batch in (one, two)]
        assert (float((found[0] - found[1]).abs().max()) < 1e-8) == wanted


def test_single_precision_is_near_double(toys):
    every = pairs(toys)
    for kind in ("smooth", "rigid"):
        clouds = HumanClouds(toys, every[0], every[1], 50, kind=kind)
        double, _ = clouds.draw_in([3, 4], generators(0, 1), torch.float64)
        single = clouds.draw([3, 4], generators(0, 1))
        assert single.positions.dtype == torch.float32
        assert torch.equal(single.labels, double.labels)
        assert torch.allclose(single.positions.double(), double.positions, atol=1e-6)


def test_points_lie_on_the_posed_mesh(toys):
    triangles = pytest.importorskip("trimesh").triangles
    clouds = HumanClouds(toys, torch.tensor([1]), torch.tensor([5]), 40)
    batch, _ = clouds.draw_in([0], generators(0), torch.float64)
    corners = toys.pose(torch.tensor([1]), torch.tensor([5]))[0][toys.faces].numpy()
    for point in batch.positions.numpy():
        near = triangles.closest_point(corners, np.tile(point, (len(corners), 1)))
        assert np.linalg.norm(near - point, axis=1).min() < 1e-9


def test_points_are_uniform_by_area(toys):
    """A half-extents box has the area 8 (ab + bc + ca); the torso has 0.52 / 0.82 of all."""
    clouds = HumanClouds(toys, torch.tensor([0]), torch.tensor([0]), 20000)
    areas = np.array([0.4 * 0.6 + 0.6 * 0.2 + 0.4 * 0.2, *2 * [0.3 * 0.2 + 0.2 * 0.1 + 0.3 * 0.1]])
    shares = torch.bincount(clouds[0].labels, minlength=3) / 20000
    assert shares.numpy() == pytest.approx(areas / areas.sum(), abs=0.01)


def test_centres_are_the_means_of_parts(toys):
    every = pairs(toys)
    batch = HumanClouds(toys, every[0], every[1], 30, labels=14).__getitems__([5, 9, 5])
    assert batch.num_graphs == 3
    assert batch.subjects.tolist() == every[0][[5, 9, 5]].tolist()
    assert sorted(set(batch.instances.tolist())) == list(range(int(batch.instances.max()) + 1))
    for part in range(int(batch.instances.max()) + 1):
        mine = batch.instances == part
        assert len(batch.graph_index[mine].unique()) == 1
        mean = batch.positions[mine].double().mean(0)
        assert torch.allclose(batch.centres[mine].double(), mean, atol=1e-6)
    assert int(batch.labels.max()) == 1, "hands have one label"
    hands = batch.instances[(batch.labels == 1) & (batch.graph_index == 0)]
    assert len(hands.unique()) == 2, "and are two parts"


def test_a_cloud_has_the_same_points_whatever_is_drawn_with_it(toys):
    every = pairs(toys)
    clouds = HumanClouds(toys, every[0], every[1], 30)
    joint = clouds.__getitems__([2, 8, 4])
    assert torch.equal(joint.positions[30:60], clouds[8].positions)
    assert torch.equal(clouds[8].positions, clouds[8].positions)
    assert not torch.equal(clouds[8].positions, clouds.draw([8], generators(1)).positions)
    assert clouds.names[8] == "subject 0, sit frame 1"


# --- splits ----------------------------------------------------------------------------------------------


def of_split(bodies, **settings):
    train, test = split_bodies(bodies, DataSettings(**settings))
    names = [name for name, frames in SEQUENCES.items() for _ in range(frames)]
    held = [{(int(s), int(p)) for s, p in part.T} for part in (train, test)]
    assert not held[0] & held[1]
    return [{(s, names[p]) for s, p in part} for part in held], [len(part) for part in held]


def test_unseen_sequences(toys):
    (train, test), counts = of_split(toys, test_sequences=("jump",))
    assert train == {(s, name) for s in (0, 1) for name in ("walk", "sit")}
    assert test == {(0, "jump"), (1, "jump")}
    assert counts == [18, 6]
    (train, test), _ = of_split(toys, train_sequences=("sit",), test_sequences=("walk", "jump"))
    assert train == {(0, "sit"), (1, "sit")}
    assert len(test) == 4


def test_random_split(toys):
    _, counts = of_split(toys, split="random")
    assert counts == [22, 2], "a tenth of 24, rounded down"
    (train, test), counts = of_split(toys, split="random", train_sequences=("walk", "jump"))
    assert counts == [13, 1]
    assert {name for _, name in train | test} == {"walk", "jump"}
    one, two = (split_bodies(toys, DataSettings(split="random", seed=seed))[1].tolist() for seed in (0, 1))
    assert one != two


def test_one_random_sequence_of_each_body(toys):
    drawn = set()
    for seed in range(8):
        (train, test), _ = of_split(toys, split="unseen_random_sequence", seed=seed)
        assert [sum(subject == s for subject, _ in test) for s in (0, 1)] == [1, 1]
        assert len(train) == 4
        drawn |= {frozenset(test)}
    assert len(drawn) > 2, "bodies draw on their own, and by the seed"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"test_sequences": ("run",)}, "run"),
        ({"test_sequences": ("jump",), "train_sequences": ("fly", "walk")}, "fly"),
        ({"test_sequences": ("jump",), "train_sequences": ("jump", "walk")}, "trained on and tested on"),
        ({"test_sequences": ()}, "no motion is to be tested"),
        ({"test_sequences": ("walk", "jump", "sit")}, "no body is left"),
    ],
)
def test_splits_that_are_none(toys, settings, words):
    with pytest.raises(DataError, match=words) as caught:
        split_bodies(toys, DataSettings(**settings))
    if words in ("run", "fly"):
        assert "walk, jump, sit" in str(caught.value), "the names that there are"


# --- bad files -------------------------------------------------------------------------------------------


def damage(file, name, change):
    def apply(arrays):
        if change is None:
            del arrays[file][name]
        else:
            arrays[file][name] = change(arrays[file][name])

    return apply


@pytest.mark.parametrize(
    ("file", "name", "change", "words"),
    [
        ("template", "part_weights", None, "lacks part_weights"),
        ("motions", "rot_jump", None, "lacks rot_jump"),
        ("motions", "rot_jump", lambda a: 1.1 * a, "no rotations"),
        ("motions", "rot_jump", lambda a: -a, "no rotations"),
        ("motions", "root_walk", lambda a: a[:2], "rot_walk does not fit"),
        ("subjects", "joints", lambda a: a[:, :2], "joints does not fit"),
        ("subjects", "vertices", lambda a: a * np.nan, "vertices does not fit"),
        ("template", "faces", lambda a: a + 1, "no vertex"),
        ("template", "part_weights", lambda a: 0.5 * a, "do not add up"),
        ("template", "part_parent", lambda a: np.array([-1, 2, 0]), "tree"),
        ("template", "part_parent", lambda a: np.array([-1, -1, 0]), "tree"),
    ],
)
def test_damaged_bodies_are_refused(tmp_path, file, name, change, words):
    with pytest.raises(DataError, match=words):
        read_bodies(write_bodies(tmp_path / "bodies", damage(file, name, change)))


def test_what_is_not_there_is_named(tmp_path, toys):
    with pytest.raises(DataError, match="no such folder"):
        read_bodies(tmp_path / "nowhere")
    (tmp_path / "bodies" / "motions.npz").unlink()
    with pytest.raises(DataError, match="no such file"):
        read_bodies(tmp_path / "bodies")
    with pytest.raises(DataError, match="no such motion") as caught:
        toys.frame("run", 0)
    assert "walk, jump, sit" in str(caught.value)
    with pytest.raises(DataError, match="0 to 3"):
        toys.frame("walk", 4)
    assert toys.parts == PARTS
