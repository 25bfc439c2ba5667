"""The settings of each network, readable without torch: model.yaml, recipes and engines share them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

#: Channels of the four modules at width 1.0 (Shouno 2020, section 3.2).
CHANNELS = (64, 128, 256, 512)
#: Frames that the generator sees; three lateral blocks halve time from 8 to 1.
WINDOW = 8
#: Of the newest flows, how many the mean is of that a ``steady`` network falls back on.
STEADY_FLOWS = 4


class HierarchicalConfig(BaseModel):
    """Settings of the hierarchical residual generator (Shouno 2020) and of what we add beside the paper."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["hierarchical"] = "hierarchical"
    form: Literal["paper", "tree"] = "tree"  # tree: every activation depends on a fixed set of frames, so it streams
    width: float = Field(1.0, gt=0, le=4)  # factor on CHANNELS
    dropout: float = Field(0.5, ge=0, lt=1)  # noise in the top-down blocks of the upper two modules, training only
    head: Literal["pixels", "warp"] = "pixels"
    motion_prior: Literal["none", "dis"] = "none"  # dis: classical flow of the last frames as input channels
    sway: bool = False  # foretell how the car's body goes on rocking, from how it rocked; needs the motion prior and warp
    steady: bool = False  # velocities fall back, step by step, on the mean of the newest flows; needs what sway needs
    rollout: Literal["recursive", "direct"] = "recursive"
    max_steps: int = Field(10, ge=1, le=30)  # longest horizon that is offered (direct: that was trained)

    @model_validator(mode="after")
    def _prior_needs_warp(self) -> HierarchicalConfig:
        if self.motion_prior == "dis" and self.head == "pixels" and self.rollout == "recursive":
            # a predicted frame has no classical flow, and a pixel head predicts none that could take its place
            raise ValueError("motion_prior 'dis' with rollout 'recursive' needs head 'warp'")
        for name in ("sway", "steady"):
            if getattr(self, name) and (self.motion_prior, self.head, self.rollout) != ("dis", "warp", "direct"):
                raise ValueError(f"{name} needs motion_prior 'dis', head 'warp' and rollout 'direct'")
        return self

    @property
    def channels(self) -> tuple[int, int, int, int]:
        a, b, c, d = (max(4, round(c * self.width)) for c in CHANNELS)
        return a, b, c, d

    @property
    def noise_channels(self) -> int:
        return 0

    @property
    def needs_flows(self) -> bool:
        return self.motion_prior == "dis"

    @property
    def flows_decoded(self) -> int:
        """How many of the newest flows the head looks at."""
        return STEADY_FLOWS if self.steady else 2

    @property
    def streams(self) -> bool:
        """Only the tree form's activations depend on a fixed set of frames, and only a direct rollout leaves them alone."""
        return self.form == "tree" and self.rollout == "direct"


class _Recursive(BaseModel):
    """What holds for every network that makes later frames of its own earlier ones and sees no flow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def rollout(self) -> Literal["recursive"]:
        return "recursive"

    @property
    def needs_flows(self) -> bool:
        return False

    @property
    def streams(self) -> bool:
        return False


class MultiScaleConfig(_Recursive):
    """Settings of the multi-scale generator (Mathieu 2016, table 1)."""

    kind: Literal["multiscale"]
    inputs: Literal[4, 8] = 4  # the newest frames of the window that it sees
    outputs: Literal[1, 8] = 1  # frames of one pass; more by recursion
    scales: Literal[1, 4] = 4  # 1: the single-scale network of table 2
    width: float = Field(1.0, gt=0, le=4)  # factor on the paper's feature maps
    max_steps: int = Field(10, ge=1, le=30)

    @property
    def noise_channels(self) -> int:
        return 0


class StochasticConfig(_Recursive):
    """Settings of stochastic video generation (Denton and Fergus 2018; Lee 2021 adds the perceptual loss)."""

    kind: Literal["stochastic"]
    prior: Literal["fixed", "learned"] = "learned"
    size: tuple[int, int] = (128, 160)  # (height, width): the last encoder layer spans the whole of its input
    width: float = Field(1.0, gt=0, le=4)  # factor on the convolutions' channels
    features: int = Field(128, ge=1)  # of an encoded frame (g)
    latent: int = Field(10, ge=1)  # of z
    hidden: int = Field(256, ge=1)  # of the LSTMs
    max_steps: int = Field(10, ge=1, le=30)

    @model_validator(mode="after")
    def _poolings_divide_size(self) -> StochasticConfig:
        side = 2**self.poolings
        if min(self.size) < 16 or self.size[0] % side or self.size[1] % side:
            size = "{}x{}".format(*self.size)
            raise ValueError(f"size: {size} is halved {self.poolings} times: give multiples of {max(side, 16)}")
        return self

    @property
    def poolings(self) -> int:
        """How often the encoder halves its frame: until the shorter side is 4 (to 7)."""
        return max(1, (min(self.size) // 4).bit_length() - 1)

    @property
    def noise_channels(self) -> int:
        return self.latent


#: Classes of a label map (Cityscapes train ids).
CLASSES = 19


class _Labels(BaseModel):
    """What holds for every network of the label-map side (Lee 2021, HVP)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_steps: int = Field(1, ge=1, le=1000)  # of one call; a network of single frames has no other step

    @property
    def rollout(self) -> Literal["recursive"]:
        return "recursive"

    @property
    def noise_channels(self) -> int:
        return 0

    @property
    def needs_flows(self) -> bool:
        return False

    @property
    def streams(self) -> bool:
        return False


class SegmenterConfig(_Labels):
    """Settings of the segmenter: a frame's label map from an ImageNet backbone and a light decoder (ours)."""

    kind: Literal["segmenter"]
    backbone: Literal["efficientnet_lite0"] = "efficientnet_lite0"
    features: int = Field(64, ge=8, multiple_of=8)  # channels of the decoder
    size: tuple[int, int] = (256, 512)  # (height, width) of the frames that a released one takes; it learns from smaller parts
    classes: int = Field(CLASSES, ge=2, le=255)


class StructureConfig(_Labels):
    """Settings of the structure generator SVG-extend (Lee 2021, section 2.1 and tables B to E), and what we add to it."""

    kind: Literal["structure"]
    form: Literal["svg", "lstm", "cnn"] = "svg"  # section 5: lstm has no stochastic part, cnn no recurrence either
    space: Literal["labels", "soft", "rgb"] = "labels"  # what one step hands to the next (section 5: discretisation)
    classes: int = Field(CLASSES, ge=2, le=255)
    size: tuple[int, int] = (128, 256)  # (height, width)
    scale: Literal[8, 16, 32] = 8  # the recurrent state is this much smaller than the label map
    width: float = Field(1.0, gt=0, le=4)  # factor on every channel count of tables B to E
    context: int = Field(4, ge=2, le=8)  # label maps that it sees
    #: Label maps moved on as a guess (ours): dis by the classical flow of the frames, frames by what a frame predictor,
    #: ``motion_model``, foretells of their motion.
    motion_prior: Literal["none", "dis", "frames"] = "none"
    motion_model: str | None = None
    max_steps: int = Field(10, ge=1, le=1000)

    @model_validator(mode="after")
    def _scale_divides_size(self) -> StructureConfig:
        if self.size[0] % self.scale or self.size[1] % self.scale:
            raise ValueError("size: {}x{} is no multiple of scale ({})".format(*self.size, self.scale))
        if self.motion_prior != "none" and self.space == "rgb":
            raise ValueError(f"motion_prior {self.motion_prior!r} moves label maps: it needs space 'labels' or 'soft'")
        if (self.motion_prior == "frames") != (self.motion_model is not None):
            raise ValueError("motion_model: a released frame predictor, for motion_prior 'frames' and for no other")
        return self

    @property
    def channels(self) -> int:
        """Channels of one step's input and output: classes, or the colours of a frame."""
        return 3 if self.space == "rgb" else self.classes

    @property
    def noise_channels(self) -> int:
        return self.noise_shape[0]

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        """Shape of z for one step: (channels, height, width); no channels for a form without noise."""
        channels = max(4, round(128 * self.width)) if self.form == "svg" else 0
        return channels, self.size[0] // self.scale, self.size[1] // self.scale

    @property
    def needs_flows(self) -> bool:
        return self.motion_prior != "none"

    @property
    def frames_seen(self) -> int:
        """The newest camera frames that a forecast needs: a frame predictor sees a whole window."""
        return WINDOW if self.motion_prior == "frames" else self.context


class S2SConfig(_Labels):
    """Settings of the future-segmentation baseline S2S (Luc 2017): deterministic, multi-scale, dilated, autoregressive."""

    kind: Literal["s2s"]
    classes: int = Field(CLASSES, ge=2, le=255)
    size: tuple[int, int] = (128, 256)  # (height, width)
    context: int = Field(4, ge=2, le=8)  # label maps that it sees
    width: float = Field(1.0, gt=0, le=4)  # factor on the feature maps
    max_steps: int = Field(10, ge=1, le=1000)


class EdgesConfig(_Labels):
    """Settings of the edge generator (Lee 2021, appendix C.2; Nazeri 2019): instance boundaries of a label map."""

    kind: Literal["edges"]
    classes: int = Field(CLASSES, ge=2, le=255)
    width: float = Field(1.0, gt=0, le=4)  # factor on channels (64, 128, 256)
    blocks: int = Field(8, ge=1)  # residual blocks


class PixelsConfig(_Labels):
    """Settings of the pixel generator (Lee 2021, section 2.2, equation 3; Wang 2018, vid2vid)."""

    kind: Literal["pixels"]
    classes: int = Field(CLASSES, ge=2, le=255)
    edges: bool = False  # whether a boundary map goes in beside each label map
    past: int = Field(4, ge=1, le=8)  # tau: 5 for KITTI, 4 for Cityscapes
    width: float = Field(1.0, gt=0, le=4)  # factor on the channels
    downsamplings: int = Field(3, ge=1, le=5)
    blocks: int = Field(9, ge=1)  # residual blocks
    motion_prior: Literal["none", "dis"] = "none"  # dis: corrects classical flow of frames and label maps (ours)

    @model_validator(mode="after")
    def _flow_of_two_frames(self) -> PixelsConfig:
        if self.motion_prior == "dis" and self.past < 2:
            raise ValueError("motion_prior 'dis' is the flow of two past frames: past must be 2 or more")
        return self


#: The families of networks: those that predict frames from frames, and those of the label-map side.
FRAME_KINDS = ("hierarchical", "multiscale", "stochastic")
LABEL_KINDS = ("segmenter", "structure", "s2s", "edges", "pixels")
KINDS = FRAME_KINDS + LABEL_KINDS
#: Of label maps that are still to come; and of all that predicts what is to come.
STRUCTURE_KINDS = ("structure", "s2s")
FORECAST_KINDS = FRAME_KINDS + STRUCTURE_KINDS


def _kind(value: Any) -> Any:
    """The tag of a config; the first models were all hierarchical and their cards do not say so."""
    return value.get("kind", "hierarchical") if isinstance(value, dict) else getattr(value, "kind", None)


NetworkConfig = Annotated[
    Annotated[HierarchicalConfig, Tag("hierarchical")]
    | Annotated[MultiScaleConfig, Tag("multiscale")]
    | Annotated[StochasticConfig, Tag("stochastic")]
    | Annotated[SegmenterConfig, Tag("segmenter")]
    | Annotated[StructureConfig, Tag("structure")]
    | Annotated[S2SConfig, Tag("s2s")]
    | Annotated[EdgesConfig, Tag("edges")]
    | Annotated[PixelsConfig, Tag("pixels")],
    Discriminator(
        _kind,
        custom_error_type="unknown_kind",
        custom_error_message="expected keys of a network with kind: " + ", ".join(KINDS),
    ),
]
