"""The one thing that the synthetic street is made of: textured parallelograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vidpred_ros import semantics as classes

Floats = NDArray[np.float64]

KEEP_LABEL = 254  # a decal on the ground, which changes the colour but not the class
SIGHT = 150.0  # metres: nothing farther ahead is drawn
REACH = {  # metres at which a thing has faded away, for a focal length of 192 pixels, where it would be but 2 or 3 pixels wide
    classes.CAR: 85.0,
    classes.TRUCK: 120.0,
    classes.BUS: 120.0,
    classes.PERSON: 75.0,
    classes.POLE: 90.0,
    classes.TRAFFIC_SIGN: 80.0,
    classes.FENCE: 110.0,
    KEEP_LABEL: 40.0,
}


@dataclass(frozen=True)
class Quads:
    """N parallelograms. ``origin`` is the top left corner of the texture, ``u`` runs along its width, ``v`` down its height."""

    origin: Floats  # Nx3 metres
    u: Floats  # Nx3
    v: Floats  # Nx3
    texture: NDArray[np.int64]  # N
    label: NDArray[np.int64]  # N train ids
    shade: NDArray[np.float32]  # Nx3 multiplies the colour
    two_sided: NDArray[np.bool_]  # N: can be seen from behind too
    reach: Floats  # N metres at which it has faded away, for a focal length of 192 pixels

    def __len__(self) -> int:
        return len(self.texture)

    def __getitem__(self, pick: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Quads:
        return Quads(*(getattr(self, name)[pick] for name in self.__dataclass_fields__))

    @staticmethod
    def join(parts: Sequence[Quads]) -> Quads:
        return Quads(*(np.concatenate([getattr(p, name) for p in parts]) for name in Quads.__dataclass_fields__))

    def placed(self, x: float, y: float, heading: float) -> Quads:
        """Turned by ``heading`` about the vertical through their origin, then moved to (x, y)."""
        cos, sin = np.cos(heading), np.sin(heading)
        turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1.0]])
        return replace(self, origin=self.origin @ turn + [x, y, 0], u=self.u @ turn, v=self.v @ turn)


@dataclass
class QuadList:
    """Collects quads one by one."""

    parts: list[Quads] = field(default_factory=list)

    def add(
        self, origin: Floats, u: Floats, v: Floats, texture: int, label: int, shade: float = 1.0, two_sided: bool = False,
        reach: float | None = None,
    ) -> None:  # fmt: skip
        self.parts.append(
            Quads(
                np.array([origin], np.float64),
                np.array([u], np.float64),
                np.array([v], np.float64),
                np.array([texture]),
                np.array([label]),
                np.full((1, 3), shade, np.float32),
                np.array([two_sided]),
                np.array([REACH.get(label, 1e4) if reach is None else reach]),
            )
        )

    def quads(self) -> Quads:
        return Quads.join(self.parts)
