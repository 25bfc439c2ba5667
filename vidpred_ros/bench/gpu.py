"""The goals that need a GPU, in absolute times: the paper's form and our streamed tree at width 1.0, one camera and six."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vidpred_ros.bench.cases import drive, engine_run
from vidpred_ros.bench.goals import SIZE, Ratio
from vidpred_ros.bench.interleave import WARM_UP, Run, figures, interleave
from vidpred_ros.bench.networks import network_named
from vidpred_ros.engines import open_engine
from vidpred_ros.engines.base import Engine
from vidpred_ros.engines.choice import GPU_ENGINES, find_gpu, obstacles, torch_on_gpu
from vidpred_ros.errors import EngineError, VidpredError

#: The recipe of the paper's form whose updates are timed, on a drive that is made on the spot.
RECIPE, CLIPS = "shouno_g_mae", "synthetic:seed=1,seconds=20,rate=10,width=224,height=176"
_TRAINING = f"training, windows/s of {RECIPE}"


@dataclass(frozen=True)
class GpuGoal:
    """Milliseconds of one call in bf16, frames in and futures out included."""

    name: str
    network: str
    graph: str
    cameras: int
    goal_ms: float
    as_graph: bool = False  # counts only where the engine runs it as a CUDA graph


GOALS = [
    GpuGoal("paper form, width 1, bf16, CUDA graph", "paper_w100", "whole", 1, 0.9, as_graph=True),
    GpuGoal("tree form, width 1, bf16, streamed", "tree_w100", "stream", 1, 0.4),
    GpuGoal("six cameras as one batch: paper form, width 1, bf16", "paper_w100", "whole", 6, 4.0),
    GpuGoal("six cameras as one batch: tree form, width 1, bf16, streamed", "tree_w100", "stream", 6, 1.0),
]


def measure_gpu(
    rounds: int, progress: Callable[[str, float, float], None] = lambda what, done, total: None
) -> tuple[list[Ratio], list[dict[str, Any]], dict[str, str]]:
    """The entries (each with the fastest engine), the raw times of all of them, and what is left out with the reason: whatever
    fails on a GPU leaves the other figures as they are."""
    try:
        gpu = find_gpu()
    except VidpredError as error:
        return [], [], {f"{one.name}, <= {one.goal_ms:g} ms": str(error) for one in GOALS} | {_TRAINING: str(error)}
    calls, left_out = _times(rounds, progress)
    ratios = []
    for goal in GOALS:
        reached = {name: found["median"] for (one, name), found in calls.items() if one is goal}
        if reached:
            best = min(reached, key=lambda name: reached[name])
            ratios.append(Ratio(f"{goal.name}, on {gpu.name} ({best})", reached[best], goal.goal_ms, "lower", "ms"))
    raw: list[dict[str, Any]] = [{"case": f"{goal.name}, {name}", **found} for (goal, name), found in calls.items()]
    try:
        progress("training on the GPU", 0, 1)
        rates = training_rates()
    except Exception as error:  # noqa: BLE001 - see above
        left_out[_TRAINING] = in_words(error)
    else:
        raw += [{"case": f"{_TRAINING}, {precision}", "windows_per_s": rate} for precision, rate in rates.items()]
    return ratios, raw, left_out


def _times(
    rounds: int, progress: Callable[[str, float, float], None]
) -> tuple[dict[tuple[GpuGoal, str], dict[str, float]], dict[str, str]]:
    """Median and p99 of each goal on each engine, from one interleaved run, and what is left out with the reason."""
    names = [name for name in (*GPU_ENGINES, *(["torch"] if torch_on_gpu() else [])) if not obstacles()[name]]
    runs: dict[tuple[GpuGoal, str], Run] = {}
    left_out: dict[str, str] = {}
    opened: list[Engine] = []
    seen = drive(SIZE)
    try:
        for number, (goal, name) in enumerate((goal, name) for goal in GOALS for name in names):
            progress(f"opening {goal.name} on {name}", number, len(GOALS) * len(names))
            try:
                model = network_named(goal.network)
                opened.append(open_engine(model, name, goal.graph, 1, "bf16", batch=goal.cameras))
                if goal.as_graph and not getattr(opened[-1], "captured", False):
                    raise EngineError("it runs without a CUDA graph, which could not be captured")
                run = engine_run(opened[-1], goal.graph, seen, goal.cameras)
                run(None)  # what fails, fails now
            except Exception as error:  # noqa: BLE001 - see above
                left_out[f"{goal.name} on {name}"] = in_words(error)
            else:
                runs[goal, name] = run
        try:
            times = interleave(runs, range(WARM_UP + rounds), lambda done, total: progress("GPU (rounds)", done, total)) if runs else {}
        except Exception as error:  # noqa: BLE001 - see above
            return {}, left_out | {f"{goal.name} on {name}": in_words(error) for goal, name in runs}
    finally:
        for engine in opened:
            engine.close()
    return {case: figures([one["call"] for one in values]) for case, values in times.items()}, left_out


def in_words(error: Exception) -> str:
    """Why something was left out: an error that is not ours with its kind, since its text alone may say little."""
    return str(error) if isinstance(error, VidpredError) else f"{type(error).__name__}: {error}"


def training_rates(overrides: list[str] | None = None) -> dict[str, float]:
    """Windows a second of updates in bf16, as the recipe has it, and in an eager float32 loop."""
    from training.datasets.bench import seconds_of_a_step, windows_per_second
    from training.datasets.load import make_clips, open_training
    from training.recipe import load_recipe

    rates = {}
    for precision in ("bf16", "fp32"):
        recipe = load_recipe(RECIPE, [f"data.train=[{CLIPS!r}]", *(overrides or []), f"precision={precision}"])
        _, batch = windows_per_second(make_clips(open_training(recipe), recipe, 2 * recipe.batch), recipe, "training clips")
        rates[precision] = recipe.batch / seconds_of_a_step(recipe, batch)
    return rates
