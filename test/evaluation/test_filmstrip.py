"""Filmstrips, the legend of classes and the side-by-side video: what is where in the picture."""

import av
import cv2
import numpy as np

from vidpred_ros.evaluation.filmstrip import HEADER, LABEL_WIDTH, StripRow, draw_rows, error_map, scale_bar
from vidpred_ros.evaluation.legend import class_legend
from vidpred_ros.evaluation.video import SideBySide
from vidpred_ros.semantics import CLASS_NAMES, PALETTE

CELL = (40, 64)  # enlarged five times


def plain(grey):
    return np.full((*CELL, 3), grey, np.uint8)


def test_a_column_for_each_future_and_what_is_known_at_the_left():
    strip = draw_rows([StripRow("truth", [plain(10), plain(20)], detail="now", aside=plain(99)), StripRow("ours", [None, plain(30)])], ["a", "b"])
    first = HEADER + 100
    assert strip.shape[1] == LABEL_WIDTH + 2 * 330
    assert (strip[first, LABEL_WIDTH : LABEL_WIDTH + 320] == 10).all() and (strip[first, LABEL_WIDTH + 330 : -10] == 20).all()
    assert (strip[first, :LABEL_WIDTH] == 99).any() and not (strip[first, LABEL_WIDTH:] == 99).any()
    second = first + 210
    assert (strip[second, :LABEL_WIDTH] == 255).all() and (strip[second, LABEL_WIDTH + 330 : -10] == 30).all()
    assert (strip[second, LABEL_WIDTH : LABEL_WIDTH + 320] == 255).all()  # None: nothing to show


def test_captions_and_asides_have_room():
    bare = draw_rows([StripRow("x", [plain(0)])], ["a"])
    assert draw_rows([StripRow("x", [plain(0)], ["SSIM\nLPIPS"])], ["a"]).shape[0] > bare.shape[0] + 40
    tall = np.zeros((400, 100, 3), np.uint8)
    assert draw_rows([StripRow("x", [plain(0)], aside=tall)], ["a"]).shape[0] > 600


def test_the_error_has_the_colours_of_its_scale():
    bar = scale_bar(170, cv2.COLORMAP_INFERNO)
    assert (error_map(plain(0), plain(0)) == bar[0, 0]).all() and (error_map(plain(255), plain(0)) == bar[0, -1]).all()


def test_the_legend_wraps():
    one, two = class_legend(range(len(CLASS_NAMES)), 3000), class_legend(range(len(CLASS_NAMES)), 1500)
    assert two.shape[0] == 2 * one.shape[0]
    for colour in PALETTE[: len(CLASS_NAMES)]:
        assert (one == colour).all(-1).any() and (two == colour).all(-1).any()


def test_a_video_of_label_maps_tells_the_time_and_the_classes(tmp_path):
    video = SideBySide(tmp_path / "labels.mp4", ["sample 1"], 0.1, legend=True)
    for when in ("+0.1 s", "+3.0 s"):
        video.add([plain(128)], when)
    video.close()
    with av.open(str(tmp_path / "labels.mp4")) as container:
        early, late = (frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0))
    changed = np.abs(early - late).max(-1) > 60
    assert changed[:36, -100:].any() and not changed[40:].any()
    legend = late[36 + late.shape[1] * CELL[0] // CELL[1] :]
    assert (np.abs(legend - PALETTE[13]).max(-1) < 40).any(), "the colour of cars"
