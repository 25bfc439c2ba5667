"""Label futures of any length, one step at a time: what is kept is the recurrent states, so memory does not grow.

A network with a motion prior learnt from guesses a few steps ahead of a true map; 500 steps along one flow would leave the
picture. So after every ``REACH`` steps the newest map that was made takes the true one's place, and is moved along the
same flow again: the car goes on as it went (ours; the paper's form has no motion prior).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.engines import open_engine
from vidpred_ros.engines.base import Arrays
from vidpred_ros.engines.choice import EngineLike
from vidpred_ros.errors import ConfigError, ModelError
from vidpred_ros.models import ReleasedModel
from vidpred_ros.motion import carry_labels, move_labels
from vidpred_ros.predictors.foretold_motion import ForetoldMotion
from vidpred_ros.predictors.label_history import LabelHistory, Labels
from vidpred_ros.predictors.structure import check_label_model, check_samples, find_structure
from vidpred_ros.segmenters import Segmenter
from vidpred_ros.window import Window

#: Steps that a motion prior looks ahead of a map: as many as the released models learn from.
REACH = 5


class LongFuture:
    """N sampled futures of a released structure model, without end. Raises ModelError or EngineError when it cannot be set up.

    ``start`` with a window, then ``step`` as often as wanted. Its first ``REACH`` steps are those of ``Structure``. Noise
    comes from ``numpy.random.default_rng(seed)``; 1 sample is drawn too.
    """

    def __init__(
        self, model: ReleasedModel, segmenter: Segmenter, engine: EngineLike, samples: int = 1, seed: int = 0
    ) -> None:
        check_label_model(model)
        check_samples(model, samples)
        config = model.card.network
        if config.kind != "structure":
            raise ModelError(f"model {model.id} ({config.kind}) has no states to hand on: long futures need kind structure")
        self.model_id, self.label_size, self.period_s = model.id, model.card.size, model.card.period
        self.size = segmenter.size
        self.samples = samples if config.noise_channels else 1
        self._config, self._random = config, np.random.default_rng(seed)
        self._foretold: ForetoldMotion | None = None
        self.window_length = config.context
        self.memory = config.frames_seen - config.context  # windows before the one of a start that a motion prior looks back on
        with ExitStack() as opened:  # where one cannot be opened, the one before it is closed
            if config.motion_model is not None:
                self._foretold = ForetoldMotion(config.motion_model, self.label_size, REACH, engine)
                opened.callback(self._foretold.close)
            self._engine = open_engine(model, engine, "step", 1, samples=self.samples)
            opened.callback(self._engine.close)
            self._opened = opened.pop_all()
        self.engine = f"{self._engine.name} {self._engine.precision}"
        self._history = LabelHistory(segmenter, self.label_size, config.context, config.frames_seen, config.needs_flows)
        self._states: Arrays = {}
        self._last: NDArray = np.zeros(0)  # what the next step begins with
        self._flow: NDArray[np.float32] | None = None
        self._guesses: NDArray[np.uint8] | None = None  # of the next steps, N x up to REACH x H x W
        self._labels: NDArray[np.uint8] = np.zeros(0, np.uint8)  # N x H x W, the newest

    @property
    def state_bytes(self) -> int:
        """Size of all that is carried from step to step."""
        kept = [*self._states.values(), self._last, self._labels, self._flow, self._guesses]
        return sum(array.nbytes for array in kept if array is not None)

    @property
    def context(self) -> list[Labels]:
        """The label maps of the window that it began with, the oldest first."""
        return [one.labels for one in self._history.context]

    def start(self, window: Window, before: Iterable[Window] = ()) -> None:
        """Forget what was, and hear the context of a window.

        ``before``: the ``memory`` windows before it, each a frame later than the last, as a stream has them; without them the
        motion prior takes what is older than the window to have stood still.
        """
        for heard in (*before, window):
            self._history.update(heard, None)
        *past, newest = self._history.context
        self._states = {n: np.zeros(s, np.float32) for n, s in self._engine.inputs.items() if n.startswith("state_")}
        for one in past:  # with the prior's mean, as a forecast hears them
            guess = None if one.flow is None else self._all(move_labels(one.labels, one.flow, 1))
            self._run(self._fed(self._all(one.labels)), guess, one.flow, noise=False)
        self._flow, self._labels = newest.flow, self._all(newest.labels)
        self._last = self._fed(self._labels)
        moved = self._history.moved(REACH, self._foretold)
        self._guesses = None if moved is None else np.repeat(moved[None], self.samples, axis=0)

    def step(self, seen: Labels | None = None) -> NDArray[np.uint8]:
        """The label maps of the next instant, N x H x W uint8.

        ``seen`` (N x H x W) stands in for the maps made last: what a segmenter makes of the frames that were made of them.
        Raises ConfigError before ``start``.
        """
        if not self._states:
            raise ConfigError("a long future has no context yet: call start with a window")
        if seen is not None:
            self._labels, self._last = seen, self._fed(seen)
        guess = None
        if self._guesses is not None and self._flow is not None:
            if not self._guesses.shape[1]:
                self._guesses = np.stack([carry_labels(one, self._flow, REACH) for one in self._labels])
            guess, self._guesses = self._guesses[:, 0], self._guesses[:, 1:]
        results = self._run(self._last, guess, self._flow, noise=True)
        self._labels, self._last = results["labels"], results["next"]
        return self._labels

    def roll(self, steps: int) -> Iterator[NDArray[np.uint8]]:
        """That many steps."""
        for _ in range(steps):
            yield self.step()

    def close(self) -> None:
        """Free the engines; the segmenter belongs to whoever made it."""
        self._opened.close()

    def _run(
        self, last: NDArray, guess: NDArray[np.uint8] | None, flow: NDArray[np.float32] | None, noise: bool
    ) -> Arrays:
        inputs: Arrays = {"last": last} | self._states
        if guess is not None and flow is not None:
            inputs |= {"moved": guess, "flows": flow[None]}
        if "noise" in self._engine.inputs:
            shape = self._engine.inputs["noise"]
            inputs["noise"] = self._random.standard_normal(shape, np.float32) if noise else np.zeros(shape, np.float32)
        results = self._engine.infer(inputs)
        self._states = {name: results[name.replace("state", "new")] for name in self._states}
        return results

    def _all(self, labels: Labels) -> NDArray[np.uint8]:
        return np.repeat(labels[None], self.samples, axis=0)

    def _fed(self, labels: NDArray[np.uint8]) -> NDArray:
        """N x H x W label maps as the network takes them: in space "soft" one-hot."""
        if self._config.space == "labels":
            return labels
        classes = np.arange(self._config.classes)[:, None, None]
        return (labels[:, None] == classes).astype(np.float32)


def make_long_future(
    model: str, segmenter: Segmenter, engine: EngineLike = None, samples: int = 1, seed: int = 0
) -> LongFuture:
    """A released structure model, by name or folder; see ``LongFuture``."""
    return LongFuture(find_structure(model), segmenter, engine, samples, seed)
