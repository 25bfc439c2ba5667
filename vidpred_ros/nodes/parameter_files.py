"""The predictor's parameters in parameter files, for launch files that have to know some before the node runs. Imports no ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vidpred_ros.errors import ConfigError


def predictor_parameters(*files: str) -> dict[str, Any]:
    """By name, of the sections for every node or for one called predictor; of two values the later counts.

    Raises ConfigError for a file that cannot be read, or is no parameter file.
    """
    found: dict[str, Any] = {}
    for file in files:
        try:
            for node, section in (yaml.safe_load(Path(file).read_text()) or {}).items():
                if node.rpartition("/")[2] in ("predictor", "**"):
                    found |= section["ros__parameters"] or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"params_file {file} cannot be read: {error}") from None
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ConfigError(f"params_file {file} is no parameter file: expected NODE: {{ros__parameters: {{NAME: VALUE}}}}") from None
    return found
