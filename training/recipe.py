"""A recipe: everything that decides what a training run does, as one short YAML. An unknown key is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vidpred_ros.errors import ConfigError
from vidpred_ros.networks.config import HierarchicalConfig

RECIPES = Path(__file__).parent / "recipes"


Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Side = Annotated[int, Field(ge=16, multiple_of=16)]  # four modules halve the size


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Data(Strict):
    """Where training clips come from and how they are varied."""

    train: list[str]  # SOURCEs, KITTI raw roots ("kitti_raw:FOLDER"); $VIDPRED_DATA and $NAME are filled in
    validate_on: list[str] = []
    size: tuple[Side, Side] = (128, 160)  # (height, width) of a training frame
    period: float = Field(0.1, gt=0)  # seconds between frames of a window
    rates: tuple[Positive, Positive] = (10.0, 10.0)  # frame rates (Hz) that a stride may give: frame-rate jitter
    crop: tuple[Share, Share] = (1.0, 1.0)  # share of the largest 5:4 crop: random scale and place
    flip: float = Field(0.5, ge=0, le=1)  # chance of a horizontal flip (Shouno 2020, section 4.2)
    photometric: float = Field(0.0, ge=0, le=0.5)  # jitter of brightness, contrast and gamma
    weights: dict[str, Annotated[float, Field(ge=0)]] = {}  # a source's share is its frames times the weight of the first pattern it contains
    bank: int | None = Field(None, ge=1)  # clips kept on disk and used again with other flips and light; None: new ones
    workers: int = Field(1, ge=0)


class Loss(Strict):
    """Phase one of Shouno 2020, section 4.2: MAE with lambda_2 and VGG-16 with lambda_3."""

    mae: float = Field(1000.0, ge=0)
    vgg: float = Field(400.0, ge=0)
    vgg_crop: tuple[Side, Side] | None = None  # VGG loss on a random crop of this size, to save time; None: whole frame


class Recipe(Strict):
    """One training run."""

    network: HierarchicalConfig
    data: Data
    loss: Loss = Loss()
    steps: int = Field(ge=1)
    batch: int = Field(8, ge=1)  # windows per process and step
    lr: float = Field(1e-4, gt=0)
    betas: tuple[float, float] = (0.0, 0.9)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = Field(0, ge=0)
    ema: float = Field(0.0, ge=0, lt=1)  # decay of the average of weights that is released; 0: the last weights
    clip_norm: float | None = Field(None, gt=0)  # largest gradient norm
    futures_per_step: int = Field(1, ge=1)  # direct rollout: step 1 and this many - 1 others, drawn anew each step
    seed: int = 0
    save_every: int = Field(200, ge=1)
    validate_every: int = Field(500, ge=1)
    precision: Literal["fp32", "bf16"] = "bf16"

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        for name in ("rates", "crop"):
            low, high = getattr(self.data, name)
            if low > high:
                raise ValueError(f"data.{name}: {low} is above {high}")
        if self.futures_per_step > self.network.max_steps:
            raise ValueError("futures_per_step is larger than network.max_steps")
        return self


def load_recipe(name: str, overrides: list[str] = []) -> Recipe:  # noqa: B006 - never changed
    """Read a recipe by name (in training/recipes) or path and apply ``key=value`` overrides (dots descend).

    Raises ConfigError that names the file and every key that is unknown or out of range.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml")))
        raise ConfigError(f"no recipe {path}; give a YAML file or one of: {known}")
    try:
        values: dict[str, Any] = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"recipe {path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"recipe {path} holds no keys")
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
        lines = [f"{'.'.join(str(p) for p in e['loc']) or 'recipe'}: {e['msg']}" for e in error.errors()]
        raise ConfigError(f"recipe {path}: " + "; ".join(lines)) from None
