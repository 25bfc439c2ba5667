from __future__ import annotations

import numpy as np
import pytest
import torch

from training.datasets.boundaries import boundaries
from training.datasets.instances import instances_from_depth
from vidpred_ros.semantics import BUILDING, CAR, IGNORE, PERSON, ROAD, SKY
from vidpred_ros.sources.synthetic import SyntheticDrive


def slow_boundaries(labels: np.ndarray, instances: np.ndarray | None) -> np.ndarray:
    height, width = labels.shape
    edge = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            for b, a in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if not (0 <= b < height and 0 <= a < width) or IGNORE in (labels[y, x], labels[b, a]):
                    continue
                other = instances is not None and instances[y, x] != instances[b, a]
                edge[y, x] |= bool(labels[y, x] != labels[b, a] or other)
    return edge


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("known", [False, True])
def test_boundaries_pixel_by_pixel(seed: int, known: bool) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array([ROAD, CAR, PERSON, IGNORE], np.uint8), (9, 13))
    instances = rng.integers(0, 3, (9, 13)).astype(np.uint8) if known else None
    found = boundaries(torch.from_numpy(labels), None if instances is None else torch.from_numpy(instances))
    np.testing.assert_array_equal(found.numpy(), slow_boundaries(labels, instances))


def test_batches_of_clips() -> None:
    labels = torch.randint(0, 3, (2, 4, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = boundaries(labels, labels * 0)
    assert found.shape == labels.shape and found.dtype == torch.bool
    torch.testing.assert_close(found[1, 2], boundaries(labels[1, 2]))


def test_two_cars_in_a_row() -> None:
    """The nearer car hides part of the farther one; the sky's depth is infinite; a building has no instances."""
    labels = np.full((8, 16), SKY, np.uint8)
    depth = np.full((8, 16), np.inf, np.float32)
    labels[6:], depth[6:] = ROAD, 9
    labels[3:7, 2:9], depth[3:7, 2:9] = CAR, 10
    labels[3:6, 9:12], depth[3:6, 9:12] = CAR, 16
    labels[1:6, 13:], depth[1:6, 13:] = BUILDING, np.array([20, 30, 60], np.float32)
    instances = instances_from_depth(labels, depth)
    assert len({instances[4, 3], instances[4, 10], 0}) == 3 and instances[2, 14] == 0
    edge = boundaries(torch.from_numpy(labels), torch.from_numpy(instances)).numpy()
    assert edge[4, 8] and edge[4, 9] and not edge[4, 6] and not edge[3, 14]


def test_a_synthetic_drive_has_more_instances_than_patches_of_class() -> None:
    drive = SyntheticDrive(seed=3, seconds=4, rate=1)
    more = 0
    for frame in drive:
        assert frame.labels is not None and frame.depth is not None
        instances = instances_from_depth(frame.labels, frame.depth)
        np.testing.assert_array_equal(instances > 0, np.isin(frame.labels, range(11, 19)))
        labels = torch.from_numpy(frame.labels)
        plain, full = boundaries(labels), boundaries(labels, torch.from_numpy(instances))
        assert (full | plain).equal(full)
        more += int((full & ~plain).sum())
    assert more > 0
