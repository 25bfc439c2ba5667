"""``vidpred evaluate``: score a model on a drive."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from vidpred_ros.commands.common import (
    DEFAULT_MODEL,
    DEFAULT_SEGMENTER,
    DEFAULT_STRUCTURE,
    ClassesOption,
    ContextLabels,
    EdgesOption,
    EngineOption,
    ModelOption,
    SegmenterOption,
    SourceArgument,
    StructureModelOption,
    TopicOption,
    command_line,
    context_of,
    counted,
    print_files,
    print_label_scores,
    print_scores,
    report_folder,
    watch,
)
from vidpred_ros.errors import ConfigError

if TYPE_CHECKING:
    from vidpred_ros.evaluation.label_trials import StructureLane


def evaluate(
    source: SourceArgument,
    model: ModelOption = DEFAULT_MODEL,
    engine: EngineOption = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", "-k", min=1, help="future frames of each prediction", show_default="5; with --future-segmentation 6"),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the report")] = Path("out/evaluate"),
    topic: TopicOption = None,
    period: Annotated[
        float | None, typer.Option("--period", help="seconds between frames", show_default="what the model was trained at")
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=0, help="score the best of so many draws too (stochastic models)")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of these draws")] = 0,
    perceptual: Annotated[
        bool, typer.Option("--perceptual", help="of frames: CSIM, FVD (9 --steps or more) and Inception Score too, which takes many times as long")
    ] = False,
    pixels: Annotated[
        str | None,
        typer.Option("--pixels", help="pixel generator: score the frames that it paints on the label maps", show_default=False),
    ] = None,
    edges: EdgesOption = None,
    structure: Annotated[bool, typer.Option("--structure", help="predict and score label maps too")] = False,
    structure_model: StructureModelOption = DEFAULT_STRUCTURE,
    segmenter: SegmenterOption = DEFAULT_SEGMENTER,
    classes: ClassesOption = None,
    context_labels: Annotated[
        ContextLabels, typer.Option("--context-labels", help="whose label maps a structure model predicts from")
    ] = ContextLabels.segmenter,
    future_segmentation: Annotated[
        bool,
        typer.Option(
            "--future-segmentation", help="the protocol of Luc 2017 on snippets of 30 frames (cityscapes:FOLDER: its val split; sequences)"
        ),
    ] = False,
) -> None:
    """Replay SOURCE frame by frame, predict at every frame, and score against what then happened.

    Writes metrics.json, scores.csv, report.html, filmstrip.png and forecast.mp4 into --out. No frame is lost however
    slow the model is, and a camera faster than the model is scored at every phase of its stride. Copying the last frame
    and optical flow are scored on the same windows. The files of an earlier report in --out are replaced, all of them, once
    the new ones are there; a folder that holds something else is left alone.

    With --structure, or a structure model as --model, label maps are predicted and scored too (mIoU of all classes and of
    those that move): against those that SOURCE carries, else against the segmenter's own. That adds label_scores.csv,
    labels.png and labels.mp4. With --pixels the frames that a pixel generator paints on the forecast's label maps are scored
    against the frames that came, beside those that it paints on copied and moved label maps and on the segmenter's of the true
    frame.

    Examples:

      vidpred evaluate synthetic:seed=1,seconds=20

      vidpred evaluate drive.mcap --topic /camera/image_raw --model hrp_tree_w50

      vidpred evaluate sequence/ --model optical_flow --steps 10 --out out/flow

      vidpred evaluate caltech:/data/caltech#set06/V000 --steps 5

      vidpred evaluate cityscapes_sequence/ --structure --period 0.1765

      vidpred evaluate cityscapes:data -m hvp_structure_slim --future-segmentation

      vidpred evaluate drive.mcap -m hvp_structure_slim --pixels hvp_pixels_slim
    """
    from vidpred_ros.evaluation.datasets import open_sequence
    from vidpred_ros.evaluation.lanes import open_lane, predicts_labels
    from vidpred_ros.evaluation.trials import phases

    console = Console()
    labels_only = predicts_labels(model)
    if period is not None and period <= 0:
        raise ConfigError(f"--period {period:g}: give seconds above 0")
    if labels_only and perceptual and pixels is None:
        raise ConfigError(f"--perceptual is of frames, and {model} predicts label maps: name what paints frames on them as --pixels")
    if pixels is not None and not (labels_only or structure):
        raise ConfigError(f"--pixels paints frames on label maps, and {model} predicts frames: add --structure")
    if edges is not None and pixels is None:
        raise ConfigError("--edges is for a pixel generator: name one as --pixels")
    if pixels is not None and future_segmentation:
        raise ConfigError("--pixels is not of the protocol of --future-segmentation: leave one of them out")
    if future_segmentation and not labels_only:
        raise ConfigError(f"--future-segmentation is of label maps: {model} predicts frames; give a structure model as --model")
    if future_segmentation and (period, topic) != (None, None):
        raise ConfigError("--future-segmentation has frames three apart, in snippets: leave --period and --topic out")

    k = steps or (_protocol_steps(model) if future_segmentation else 5)

    def lane(name: str, period_s: float | None, draws: int) -> StructureLane:
        return open_lane(
            name,
            segmenter,
            engine,
            k,
            samples=draws,
            period_s=period_s,
            context=context_of(context_labels),
            class_table=classes,
            pixels=pixels,
            edges=edges,
            perceptual=perceptual,
        )

    with ExitStack() as opened:
        folder = opened.enter_context(report_folder(out))
        if future_segmentation:
            from vidpred_ros.evaluation.entries import find_sequences
            from vidpred_ros.evaluation.future_segmentation import evaluate_future_segmentation, snippets

            found, left_out = snippets(source, list(find_sequences([source])[0].values()))
            for name, why in left_out.items():
                console.print(f"[yellow]left out:[/] {name}: {why}", highlight=False, soft_wrap=True)
            alone = opened.enter_context(closing(lane(model, None, samples)))
            progress = watch(console, len(found), "evaluating")
            results = evaluate_future_segmentation(found, alone, folder, command_line(), progress)
        elif labels_only:
            from vidpred_ros.evaluation.label_results import evaluate_structure

            drive = open_sequence(source, topic)
            alone = opened.enter_context(closing(lane(model, period, samples)))
            progress = watch(console, len(drive) * phases(drive, alone.predictor.period_s), "evaluating")
            results = evaluate_structure(drive, alone, folder, command_line(), progress)
        else:
            from vidpred_ros.evaluation.run import evaluate as run
            from vidpred_ros.predictors import make_predictor

            drive = open_sequence(source, topic)
            predictor = opened.enter_context(closing(make_predictor(model, engine, k)))
            predictor.period_s = period or predictor.period_s
            beside = lane(structure_model, predictor.period_s, 0) if structure else None
            if beside is not None:
                opened.enter_context(closing(beside))
            progress = watch(console, len(drive) * phases(drive, predictor.period_s), "evaluating")
            results = run(drive, predictor, folder, command_line(), progress, samples, seed, beside, perceptual)
            ours = results["horizons"][0]["methods"]["predictor"]
            if ours["ssim"] is not None:
                print_scores(console, results)
            else:
                labels_only = True
                console.print(f"[yellow]frames are not scored:[/] {ours['ssim_reason']}", highlight=False, soft_wrap=True)
    if "structure" in results:
        print_label_scores(console, results)
    if "painted" in results:
        _print_painted(console, results["painted"])
    frames = () if labels_only else ("forecast.mp4", "filmstrip.png")
    labels = ("labels.mp4", "labels.png") if "structure" in results else ()
    print_files(console, out, "metrics.json", *labels, *frames, "report.html")


def _print_painted(console: Console, painted: Mapping[str, Any]) -> None:
    """A row for each method, the means over all steps."""
    from vidpred_ros.evaluation.pages import FRAME_DIGITS, FRAME_TITLES

    metrics = [metric for metric in ("ssim", "psnr", "lpips", "csim", "inception_score") if metric in painted["means"]["predictor"]]
    windows, steps = counted(painted["windows"], "window"), counted(len(painted["horizons"]), "step")
    console.print(f"\nframes painted by [bold]{painted['model']}[/], means over {windows} and {steps}", highlight=False, soft_wrap=True)
    table = Table("label maps", box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    videos = painted.get("videos")
    for title in [*(FRAME_TITLES[metric] for metric in metrics), *(["FVD"] if videos else [])]:
        table.add_column(title, justify="right")
    for name, means in painted["means"].items():
        cells = ["n/a" if means[m] is None else f"{means[m]:.{FRAME_DIGITS[m]}f}" for m in metrics]
        if videos:
            distance = videos["methods"][name]["fvd"]
            cells.append("n/a" if distance is None else f"{distance:.0f}")
        table.add_row("(last frame)" if name == "last_frame" else name.replace("_", " "), *cells)
    console.print(table)


def _protocol_steps(model: str) -> int:
    """The steps of the future-segmentation protocol, or as many of them as the model foretells."""
    from vidpred_ros.evaluation.future_segmentation import STEPS
    from vidpred_ros.predictors.structure import find_structure

    return min(STEPS, find_structure(model).card.network.max_steps)
