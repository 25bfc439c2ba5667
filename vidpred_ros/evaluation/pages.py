"""HTML pages from the templates of this folder, each one file with everything in it."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray


def render(template: str, **values: Any) -> str:
    """The page that a template makes of ``values``; a name that the template uses and nobody gave is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vidpred_ros.evaluation", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)


def data_uri(image: NDArray[np.uint8]) -> str:
    """A picture (HxWx3 RGB) inside the page.

    JPEG, a quarter of PNG's size: enlarged twice, even the halved colour planes keep every pixel of the network.
    """
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 93])
    if not ok:
        raise OSError("OpenCV could not encode a JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
