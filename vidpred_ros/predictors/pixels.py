"""Label maps to frames, one by one and for as long as label maps come (Lee 2021, section 2.2): the pixel generator rolls on.

Each frame is made of the tau frames before it, true ones at first and its own later, and of the tau + 1 label maps that
belong to them and to the new frame; with a motion prior also of the classical flow of these. Nothing older is kept,
so a future of any length takes the same memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.engines import open_engine
from vidpred_ros.engines.base import Arrays, Engine
from vidpred_ros.engines.choice import EngineLike
from vidpred_ros.errors import ConfigError
from vidpred_ros.models import ReleasedModel, find_model
from vidpred_ros.motion import NextFlows

Image = NDArray[np.uint8]


class PixelRoll:
    """A released pixel generator on an engine, and with it the edge generator if its network takes boundaries.

    ``start`` with the newest ``past`` frames and their label maps, then ``step`` from label map to label map, or ``roll``
    over a stream of them. ``size`` is (height, width) of both. Raises ConfigError for a model of another kind, a missing or
    needless edge generator, and edge generators of another size.
    """

    def __init__(self, model: ReleasedModel, engine: EngineLike = None, edges: ReleasedModel | None = None) -> None:
        config = model.card.network
        if config.kind != "pixels":
            raise ConfigError(f"model {model.id} is of kind {config.kind}; label maps become frames by one of kind pixels")
        if config.edges and edges is None:
            raise ConfigError(f"model {model.id} takes boundaries: name an edge generator too (a model of kind edges)")
        if edges is not None and (not config.edges or edges.card.network.kind != "edges"):
            why = "takes no boundaries" if not config.edges else f"needs one of kind edges, not {edges.card.network.kind}"
            raise ConfigError(f"model {model.id} {why}: leave out {edges.id}")
        if edges is not None and edges.card.size != model.card.size:
            sizes = "{}x{}, but {} makes {}x{}".format(*model.card.size, edges.id, *edges.card.size)
            raise ConfigError(f"model {model.id} takes boundaries of {sizes}")
        self.model_id, self.size, self.past = model.id, model.card.size, config.past
        self.weights_sha256 = model.card.weights_sha256
        self._edges: Engine | None = None
        with ExitStack() as opened:  # where one cannot be opened, the one before it is closed
            # in bf16 the place that a pixel is fetched from is off by up to half a pixel, and a roll adds these errors up
            self._engine = open_engine(model, engine, "pixels", precision="fp32")
            opened.callback(self._engine.close)
            if edges is not None:
                self._edges = open_engine(edges, engine, "edges")
                opened.callback(self._edges.close)
            self._opened = opened.pop_all()
        self._prior = NextFlows() if config.motion_prior == "dis" else None
        self.engine = f"{self._engine.name} {self._engine.precision}"
        self._frames: deque[Image] = deque(maxlen=self.past)
        self._labels: deque[Image] = deque(maxlen=self.past)
        self._boundaries: deque[NDArray[np.float32]] = deque(maxlen=self.past)

    def start(self, frames: Sequence[Image], labels: Sequence[Image]) -> None:
        """Forget what was and begin after ``frames`` (HxWx3 uint8 RGB, the oldest first) with their label maps (HxW uint8).

        Of more than ``past`` the newest are taken; of fewer the oldest stands in for those before it. Raises ConfigError
        for none, for unequal counts and for other sizes.
        """
        if not frames or len(frames) != len(labels):
            raise ConfigError(f"a roll starts with as many frames as label maps, at least one, not {len(frames)} and {len(labels)}")
        self._frames.clear()
        self._labels.clear()
        self._boundaries.clear()
        missing = max(0, self.past - len(frames))
        for frame, one in zip([frames[0]] * missing + [*frames], [labels[0]] * missing + [*labels], strict=True):
            self._check(frame, (*self.size, 3), "frame")
            self._check(one, self.size, "label map")
            self._frames.append(frame)
            self._labels.append(one)
        if self._edges is not None:
            self._boundaries.extend(self._boundary(one) for one in self._labels)

    def step(self, labels: Image) -> Image:
        """The next frame, HxWx3 uint8 RGB, of its label map, HxW uint8. Raises ConfigError before ``start`` and for another size."""
        if len(self._frames) < self.past:
            raise ConfigError("a roll has no past yet: call start with frames and their label maps")
        self._check(labels, self.size, "label map")
        arrays: Arrays = {"frames": np.stack(self._frames), "labels": np.stack([*self._labels, labels])}
        if self._edges is not None:
            boundary = self._boundary(labels)
            arrays["edges"] = np.stack([*self._boundaries, boundary])
            self._boundaries.append(boundary)
        if self._prior is not None:
            arrays["flows"] = self._prior((self._frames[-2], self._frames[-1]), (self._labels[-1], labels))
        frame = self._engine.infer(arrays)["frame"]
        self._frames.append(frame)
        self._labels.append(labels)
        return frame

    def roll(self, labels: Iterable[Image]) -> Iterator[Image]:
        """A frame for each label map, as they come."""
        for one in labels:
            yield self.step(one)

    def close(self) -> None:
        """Free the engines."""
        self._opened.close()

    def _boundary(self, labels: Image) -> NDArray[np.float32]:
        assert self._edges is not None
        return self._edges.infer({"labels": labels[None]})["edges"][0]

    def _check(self, array: Image, shape: tuple[int, ...], what: str) -> None:
        if array.shape != shape or array.dtype != np.uint8:
            wanted, found = ("x".join(map(str, s)) for s in (shape, array.shape))
            raise ConfigError(f"{self.model_id} takes a {what} of {wanted} uint8, not {found} {array.dtype}")


def make_pixel_roll(model: str, engine: EngineLike = None, edges: str | None = None) -> PixelRoll:
    """A roll of released models, by name or folder. Raises ModelError for one that is not there."""
    return PixelRoll(find_model(model, ["pixels"]), engine, find_model(edges, ["edges"]) if edges else None)
