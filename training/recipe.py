"""A recipe: everything that decides what a training run does, as one short YAML. An unknown key is an error."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vidpred_ros.errors import ConfigError
from vidpred_ros.networks.config import KINDS, LABEL_KINDS, WINDOW, NetworkConfig

#: Networks that are trained against a discriminator, in the papers' forms of them.
WITH_DISCRIMINATOR = ("hierarchical", "multiscale", "edges", "pixels")
#: Networks that have one input size.
OF_ONE_SIZE = ("stochastic", "structure", "s2s")
RECIPES = Path(__file__).parent / "recipes"


Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Side = Annotated[int, Field(ge=16, multiple_of=16)]  # four modules halve the size


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Data(Strict):
    """Where training clips come from and how they are varied."""

    #: SOURCEs and data sets ("kitti_raw:FOLDER", "drive.mcap?topic=/camera"; training/datasets/layouts.py lists them all);
    #: $VIDPRED_DATA and $NAME are filled in
    train: list[str]
    validate_on: list[str] = []
    size: tuple[Side, Side] = (128, 160)  # (height, width) of a training frame
    patch: Side | None = None  # side of the random square of each frame that is trained on; None: the whole frame
    patch_motion: float = Field(0.0, ge=0)  # mean squared change, in [-1, 1] scaling, that a patch should show
    period: float = Field(0.1, gt=0)  # seconds between frames of a window
    rates: tuple[Positive, Positive] = (10.0, 10.0)  # frame rates (Hz) that a stride may give: frame-rate jitter
    crop: tuple[Share, Share] = (1.0, 1.0)  # share of the largest crop of this shape: random scale and place
    flip: float = Field(0.5, ge=0, le=1)  # chance of a horizontal flip (Shouno 2020, section 4.2)
    photometric: float = Field(0.0, ge=0, le=0.5)  # jitter of brightness, contrast and gamma
    weights: dict[str, NotNegative] = {}  # of a source's windows, by the first pattern that its name contains; else 1
    #: foretells motion here in place of network.motion_model, which knows the training drives by heart and would err too little
    motion_model: str | None = None
    bank: int | None = Field(None, ge=1)  # clips kept on disk and used again with other flips and light; None: new ones
    workers: int = Field(1, ge=0)

    @model_validator(mode="after")
    def _patch_fits(self) -> Data:
        if self.patch is not None and self.patch > min(self.size):
            raise ValueError(f"patch: {self.patch} is larger than a frame, {self.size}")
        return self


class HierarchicalLoss(Strict):
    """Shouno 2020, section 4.2: MAE with lambda_2 and VGG-16 with lambda_3; Adversarial.weight is lambda_1."""

    kind: Literal["hierarchical"]
    mae: float = Field(1000.0, ge=0)
    vgg: float = Field(400.0, ge=0)
    vgg_crop: tuple[Side, Side] | None = None  # VGG loss on a random crop of this size, to save time; None: whole frame


class MultiScaleLoss(Strict):
    """Mathieu 2016, section 2: lambda_lp, p, lambda_gdl, alpha; Adversarial.weight is lambda_adv."""

    kind: Literal["multiscale"]
    lp: float = Field(1.0, ge=0)
    p: Literal[1, 2] = 2
    gdl: float = Field(0.0, ge=0)
    alpha: Literal[1, 2] = 1


class StochasticLoss(Strict):
    """Denton and Fergus 2018 (mse, beta) and Lee 2021, equation 2 (vgg: the weights w_i of VGG-16's five blocks)."""

    kind: Literal["stochastic"]
    mse: float = Field(1.0, ge=0)
    vgg: tuple[NotNegative, NotNegative, NotNegative, NotNegative, NotNegative] = (0, 0, 0, 0, 0)
    beta: float = Field(1e-4, ge=0)
    decoded: int | None = Field(None, ge=1)  # frames of a clip that are compared, drawn anew, to save time; None: all
    vgg_crop: tuple[Side, Side] | None = None  # VGG terms on a random crop of this size, to save time; None: whole frame


class SegmenterLoss(Strict):
    """Cross-entropy whose weights, 1 / ln(rare + share), are by each class's share of a batch's pixels (Paszke 2016, ENet)."""

    kind: Literal["segmenter"]
    rare: float = Field(1.1, gt=1)  # the smaller, the more a rare class counts: at 1.1 up to ten times
    mix: float = Field(0.0, ge=0, le=1)  # chance that an image is given the small things of another one, at their places


class StructureLoss(Strict):
    """Lee 2021 (HVP), equation 1: beta of the divergence. What else is here is ours."""

    kind: Literal["structure"]
    beta: float = Field(5e-4, ge=0)
    free: float = Field(0.0, ge=0)  # divergence, in nats at a place, that costs nothing (free bits, Kingma 2016)
    forecast: float = Field(0.0, ge=0)  # weight of the error of what is made with the prior's mean (hybrid, Sohn 2015)
    closed: bool = False  # True: after the context a map is made from those that the network made, as in a forecast
    moving: float = Field(1.0, gt=0)  # weight of the pixels of classes that move by themselves; the others have 1
    rare: float | None = Field(None, gt=1)  # weights by each class's share of a batch's pixels, as SegmenterLoss has them


class S2SLoss(Strict):
    """Luc 2017, as Mathieu 2016 has them: weights of the lp (the paper: l1) and of the gradient difference loss, at both scales."""

    kind: Literal["s2s"]
    lp: float = Field(1.0, ge=0)
    p: Literal[1, 2] = 1
    gdl: float = Field(1.0, ge=0)


class EdgesLoss(Strict):
    """Lee 2021, equation 9; EdgeConnect's feature matching and plain cross-entropy as settings. Adversarial.weight is of eq. 9."""

    kind: Literal["edges"]
    features: float = Field(10.0, ge=0)  # feature matching (Nazeri 2019); 0: equation 9 alone
    bce: float = Field(0.0, ge=0)  # cross-entropy with the true boundaries (ours): all that ``steps`` without an adversary learn by


class PixelsLoss(Strict):
    """Lee 2021, equations 4 to 6, with vid2vid's weights (Wang 2018: lambda_feat, lambda_F, lambda_T are 10)."""

    kind: Literal["pixels"]
    frames: int = Field(6, ge=1)  # of a clip that are made one after the other, each from those made before
    gan: Literal["log", "squares"] = "log"  # equations 4 and 5; squares: vid2vid's default
    scales: int = Field(2, ge=1, le=4)  # sizes of the picture that the discriminators see (1 for 64x64)
    features: float = Field(10.0, ge=0)  # feature matching
    vgg: float = Field(10.0, ge=0)  # VGG-16 as in Shouno 2020 (vid2vid: VGG-19 with weights of its own)
    vgg_crop: tuple[Side, Side] | None = None  # VGG terms on a random crop of this size, to save time; None: whole frame
    flow: float = Field(10.0, ge=0)  # predicted flow against the clip's classical flow (vid2vid: FlowNet2's)
    warp: float = Field(10.0, ge=0)  # frames moved by flow against the next frame
    hallucinated: bool = True  # whether the hallucinated frame by itself is compared and judged too
    mae: float = Field(0.0, ge=0)  # L1 (ours)


#: The losses of each family of networks: one class for each kind.
Loss = Annotated[
    HierarchicalLoss | MultiScaleLoss | StochasticLoss | SegmenterLoss | StructureLoss | S2SLoss | EdgesLoss | PixelsLoss,
    Field(discriminator="kind"),
]


class Adversarial(Strict):
    """The phases in which a discriminator takes part; without them the generator learns alone."""

    weight: float = Field(1.0, ge=0)  # of the generator's adversarial loss
    warmup_steps: int = Field(0, ge=0)  # the discriminator alone, generator fixed (Shouno 2020: second phase)
    steps: int = Field(ge=1)  # both; counted in updates of either (Shouno 2020: third phase)
    updates: int = Field(1, ge=1)  # of the discriminator for each one of the generator
    lr: float = Field(gt=0)  # of the generator
    discriminator_lr: float = Field(gt=0)
    width: float = Field(1.0, gt=0, le=4)  # factor on the discriminator's channels


class Recipe(Strict):
    """One training run: ``steps`` updates of the generator alone, then those of ``adversarial``, if it is there."""

    network: NetworkConfig
    data: Data
    loss: Loss
    adversarial: Adversarial | None = None
    init: str | None = None  # a checkpoint or a released model whose weights the generator starts with
    steps: int = Field(ge=0)
    batch: int = Field(8, ge=1)  # windows per process and update
    accumulate: int = Field(1, ge=1)  # parts that a batch is taken in, to save memory
    optimizer: Literal["adam", "sgd"] = "adam"
    lr: float = Field(1e-4, gt=0)
    lr_end: float = Field(0.0, ge=0)  # where the cosine ends
    backbone_lr: float = Field(1.0, ge=0)  # factor on the rates of a backbone that starts from ImageNet
    betas: tuple[float, float] = (0.0, 0.9)  # of Adam
    momentum: float = Field(0.0, ge=0, lt=1)  # of SGD
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = Field(0, ge=0)
    ema: float = Field(0.0, ge=0, lt=1)  # decay of the average of weights that is released; 0: the last weights
    clip_norm: float | None = Field(None, gt=0)  # largest gradient norm
    futures_per_step: int = Field(1, ge=1)  # direct rollout: step 1 and this many - 1 others, drawn anew each step
    seed: int = Field(0, ge=0)
    save_every: int = Field(200, ge=1)
    validate_every: int = Field(500, ge=1)
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"

    @model_validator(mode="before")
    @classmethod
    def _loss_of_the_network(cls, values: Any) -> Any:
        """The losses are those of the network's paper; a recipe need not name the kind twice."""
        if not isinstance(values, dict) or not isinstance(values.get("loss", {}), dict):
            return values
        network = values.get("network")
        kind = network.get("kind", "hierarchical") if isinstance(network, dict) else getattr(network, "kind", None)
        return values | {"loss": {"kind": kind} | values.get("loss", {})}

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        for name in ("rates", "crop"):
            low, high = getattr(self.data, name)
            if low > high:
                raise ValueError(f"data.{name}: {low} is above {high}")
        if self.loss.kind != self.network.kind:
            raise ValueError(f"loss.kind: {self.loss.kind}, but the network is {self.network.kind}")
        kind, size = self.network.kind, getattr(self.network, "size", self.data.size)
        if kind in OF_ONE_SIZE and (size != self.data.size or self.data.patch):
            raise ValueError(f"network.size: data.size must be the same, {size}, without data.patch")
        if kind in LABEL_KINDS and self.data.patch:
            raise ValueError("data.patch: label maps are trained on whole; data.crop takes a random part of them")
        if self.data.motion_model and getattr(self.network, "motion_model", None) is None:
            raise ValueError("data.motion_model: stands in for network.motion_model, which is not set")
        if kind not in WITH_DISCRIMINATOR and self.adversarial is not None:
            raise ValueError(f"adversarial: a {kind} network has no discriminator")
        if self.loss.kind == "edges" and self.steps and not self.loss.bce:
            raise ValueError("steps: without an adversary edges learn by loss.bce, which is 0")
        if self.network.kind == "pixels" and self.network.past + self.futures < 3:
            raise ValueError("loss.frames: the video discriminator sees 3 frames, past and made ones together")
        if self.futures_per_step > self.network.max_steps:
            raise ValueError("futures_per_step is larger than network.max_steps")
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate: {self.accumulate} does not divide batch ({self.batch})")
        if not self.total_steps:
            raise ValueError("steps: 0, and there is no adversarial phase")
        return self

    @property
    def total_steps(self) -> int:
        """Updates of all phases."""
        return self.steps + (self.adversarial.warmup_steps + self.adversarial.steps if self.adversarial else 0)

    @property
    def context(self) -> int:
        """Frames or label maps that the network sees."""
        if self.network.kind == "structure" or self.network.kind == "s2s":
            return self.network.context
        if self.network.kind == "pixels":
            return self.network.past
        return 1 if self.network.kind in LABEL_KINDS else WINDOW

    @property
    def needs_instances(self) -> bool:
        """Whether boundaries are learnt from: then the data should tell things of a class apart, where it can."""
        return self.network.kind == "edges" or (self.network.kind == "pixels" and self.network.edges)

    @property
    def futures(self) -> int:
        """Future frames or label maps that a training clip needs."""
        if self.network.kind == "hierarchical" and self.network.rollout == "direct":
            return self.network.max_steps
        if self.network.kind == "multiscale":
            return self.network.outputs  # the paper trains a single pass
        if self.loss.kind == "pixels":
            return self.loss.frames
        return 0 if self.network.kind in ("segmenter", "edges") else self.futures_per_step


def _read(path: Path, seen: tuple[str, ...]) -> dict[str, Any]:
    """A YAML file's keys, laid over those of the recipe that it names in ``extends``; ``seen`` ends with its own name."""
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml")))
        raise ConfigError(f"no recipe {path}; give a YAML file or one of: {known}")
    try:
        values: dict[str, Any] = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"recipe {path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"recipe {path} holds no keys")
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str) or base in seen:
        raise ConfigError(f"recipe {path}: extends: expected the name of another recipe, not {base!r}")
    beside = path.with_name(f"{base}.yaml")
    below = beside if beside.is_file() else RECIPES / beside.name
    return _laid_over(_read(below, (*seen, base)), values)


def _laid_over(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """``values`` over ``base``, key by key; a network of another kind, and its losses, take nothing from the base's."""
    other = _kind(values) not in (None, _kind(base) or "hierarchical")
    result = dict(base)
    for key, value in values.items():
        below = base.get(key)
        if isinstance(below, dict) and isinstance(value, dict) and not (other and key in ("network", "loss")):
            value = _laid_over(below, value)
        result[key] = value
    if other and "loss" not in values:
        result.pop("loss", None)
    return result


def _kind(values: dict[str, Any]) -> Any:
    """The kind of network that a recipe names, if it does."""
    network = values.get("network")
    return network.get("kind") if isinstance(network, dict) else None


def load_recipe(name: str, overrides: list[str] = []) -> Recipe:  # noqa: B006 - never changed
    """Read a recipe by name (in training/recipes) or path and apply ``key=value`` overrides (dots descend).

    A recipe may say ``extends: NAME``: it then has the keys of that recipe, which lies beside it or in training/recipes,
    and changes those that it names.
    Raises ConfigError that names the file and every key that is unknown or out of range.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"
    values = _read(path, (path.stem,))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"--set {override}: expected key=value, for instance lr=2e-4 or network.width=0.5")
        *parents, leaf = key.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ConfigError(f"--set {override}: {parent} in {path} has no keys below it")
        try:
            place[leaf] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"--set {override}: {text} is no YAML value") from None
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"recipe {path}: " + "; ".join(map(_explain, error.errors()))) from None


def _explain(error: Any) -> str:
    """One error of pydantic as "key: what is wrong"; the kind that it adds to the keys of a network or loss is left out."""
    keys, kind = [str(key) for key in error["loc"]], None
    if keys[:1] in (["network"], ["loss"]) and keys[1:2] and keys[1] in KINDS:
        kind = keys.pop(1)
    what = f"{'.'.join(keys) or 'recipe'}: {error['msg']}"
    if error["type"] != "extra_forbidden":
        return what
    near = get_close_matches(keys[-1], _known(keys[:-1], kind), 1)
    return f"{'.'.join(keys)}: no such key" + (f"; did you mean {'.'.join([*keys[:-1], near[0]])}?" if near else "")


def _known(section: list[str], kind: str | None) -> list[str]:
    """The keys of a recipe, or of one of its sections; of networks and losses those of a kind."""
    schema = Recipe.model_json_schema()
    if not section:
        return list(schema["properties"])
    ending = {"network": "Config", "loss": "Loss"}.get(section[0], section[0].title())
    models = [model["properties"] for name, model in schema["$defs"].items() if name.endswith(ending)]
    return [key for keys in models if keys.get("kind", {}).get("const") == kind for key in keys]
