"""Released models: a folder with model.yaml and weights.safetensors, found by name and checked before use."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vidpred_ros.errors import ModelError
from vidpred_ros.networks.config import FORECAST_KINDS, KINDS, NetworkConfig

CARD = "model.yaml"
WEIGHTS = "weights.safetensors"
RECIPE = "recipe.yaml"  # as it ran, beside the card
INT8 = "int8.json"  # ranges for int8 (training/calibrate.py)
MODEL_ID = r"^[a-z0-9][a-z0-9_\-.]*$"


#: Height or width of a frame: four modules halve it.
Side = Annotated[int, Field(ge=16, multiple_of=16)]


class Training(BaseModel):
    """Where the weights come from."""

    model_config = ConfigDict(extra="forbid")

    recipe: str
    steps: int
    data: list[str]
    licence: str  # of that data: it binds whoever uses the weights
    seed: int


class ModelCard(BaseModel):
    """What model.yaml says."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=MODEL_ID)
    network: NetworkConfig
    parameters: int = Field(gt=0)
    size: tuple[Side, Side]  # (height, width) of input and output frames
    period: float = Field(gt=0)  # seconds between the frames of a window
    window: Annotated[int, Field(ge=1, le=8)] = 8  # newest frames or label maps that it sees
    classes: list[str] = []  # of label maps; empty: the model predicts frames only
    normalisation: str = "RGB, uint8 divided by 255"
    training: Training
    scores: list[dict[str, Any]] = []  # measured values, each with its protocol and command
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _one_size(self) -> ModelCard:
        if self.network.kind == "stochastic" and self.network.size != self.size:
            raise ValueError(f"network.size is {self.network.size}, but size is {self.size}: this network has one size only")
        return self


class Int8(BaseModel):
    """What int8.json says: how the ranges were measured, and the ranges."""

    model_config = ConfigDict(extra="forbid")

    weights_sha256: str
    sources: list[str]
    windows: int
    clipping: str
    kept: dict[str, float]  # layers that stay in float, by their weight: how much int8 in this one alone changes the output
    ranges: dict[str, float]  # largest absolute value of a convolution's input, by its weight
    scores: list[dict[str, Any]] = []  # the same windows in each precision (training/precision_scores.py)

    @property
    def digest(self) -> str:
        """Of what decides the graph."""
        return hashlib.sha256(repr(sorted(self.ranges.items())).encode()).hexdigest()


class ReleasedModel:
    """A model folder whose card was read and whose weights match it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.card = read_card(folder)

    def at(self, size: tuple[int, int]) -> ReleasedModel:
        """The same weights for frames of another size (height, width), which a convolutional network allows."""
        other = ReleasedModel(self.folder)
        other.card = self.card.model_copy(update={"size": size})
        return other

    @property
    def id(self) -> str:
        return self.card.id

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS

    @cached_property
    def int8(self) -> Int8:
        """The ranges for int8. Raises ModelError when there are none, or none for these weights."""
        path = self.folder / INT8
        how = (
            f"measure them on your data with `python -m training.calibrate {self.id} SOURCE...` (frame predictors and segmenters), "
            "or take another precision"
        )
        try:
            found = Int8.model_validate_json(path.read_text())
        except FileNotFoundError:
            raise ModelError(f"model {self.id} has no {INT8}, the ranges that int8 needs: {how}") from None
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise ModelError(f"{path} cannot be read: {error}") from None
        if found.weights_sha256 != self.card.weights_sha256:
            raise ModelError(f"{path} was measured with other weights than {self.id} has: {how}")
        return found

    @cached_property
    def verified_weights(self) -> Path:
        """Path of the weights. Raises ModelError when they are missing or are not the ones of the card."""
        if not self.weights.is_file():
            raise ModelError(f"{self.folder}: {WEIGHTS} is missing; get the whole model folder again")
        found = hashlib.sha256(self.weights.read_bytes()).hexdigest()
        if found != self.card.weights_sha256:
            raise ModelError(
                f"{self.weights} does not match its model.yaml (sha256 {found[:12]}, expected "
                f"{self.card.weights_sha256[:12]}): truncated or changed; get the model folder again"
            )
        return self.weights


def read_card(folder: Path) -> ModelCard:
    """Read and check FOLDER/model.yaml. Raises ModelError that names the file and every wrong key."""
    path = folder / CARD
    try:
        return ModelCard.model_validate(yaml.safe_load(path.read_text()))
    except FileNotFoundError:
        raise ModelError(f"{folder} is no model folder: it has no {CARD}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(str(p) for p in e['loc']) or CARD}: {e['msg']}" for e in error.errors())
        raise ModelError(f"{path}: {wrong}") from None


def model_folders() -> list[Path]:
    """Folders that hold released models, first match wins: VIDPRED_MODELS, the checkout, the installed share folders."""
    places = [Path(p) for p in os.environ.get("VIDPRED_MODELS", "").split(os.pathsep) if p]
    places.append(Path(__file__).resolve().parents[1] / "models")
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    places += [Path(p) / "share" / "vidpred_ros" / "models" for p in prefixes if p]
    return [place for place in dict.fromkeys(places) if place.is_dir()]


def list_models() -> list[ReleasedModel]:
    """Every released model that is found, by name; the first folder wins. A damaged card raises ModelError."""
    found: dict[str, Path] = {}
    for place in model_folders():
        for card in sorted(place.glob(f"*/{CARD}")):
            found.setdefault(card.parent.name, card.parent)
    return [ReleasedModel(folder) for _, folder in sorted(found.items())]


def model_folder(name: str) -> Path | None:
    """The folder that a name, or a folder, stands for; of one that is no model's, ``read_card`` says what it lacks."""
    for folder in (Path(name), *(place / name for place in model_folders())):
        if (folder / CARD).is_file():
            return folder
    return Path(name) if Path(name).is_dir() else None


def find_model(name: str, kinds: Collection[str] = KINDS) -> ReleasedModel:
    """A released model by its name or its folder. Raises ModelError with the names that there are, of networks of these kinds."""
    folder = model_folder(name)
    if folder is not None:
        return ReleasedModel(folder)
    known = ", ".join(model.id for model in list_models() if model.card.network.kind in kinds) or "none found"
    nor = ", nor a baseline (copy_last, optical_flow)" if {*kinds} & {*FORECAST_KINDS} else ""
    raise ModelError(f"no model {name!r}: neither a folder nor one of the released models ({known}){nor}")
