"""What every test may use."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from vidpred_ros.models import ReleasedModel

# Before any test imports matplotlib: there may be no display.
os.environ.setdefault("MPLBACKEND", "Agg")
# Before any test imports torch: its networks are tiny here, and threads that wait for each other crawl on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples in every run, and no limit on their time: a busy machine is no defect.
settings.register_profile("vidpred", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("vidpred")

#: A car that only runs exported engines has no torch.
WITHOUT_TORCH = importlib.util.find_spec("torch") is None
collect_ignore = ["networks", "training"] if WITHOUT_TORCH else []


def pytest_report_header() -> list[str]:
    return ["torch is not installed: leaving out test/networks and test/training"] if WITHOUT_TORCH else []


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real driving sequences (VIDPRED_DATA); a test that asks for it is skipped where there is none."""
    folder = os.environ.get("VIDPRED_DATA")
    if not folder:
        pytest.skip("needs real driving sequences: set VIDPRED_DATA to their folder")
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def vidpred_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Exports and decoded frames of the tests go to a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDPRED_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def exports_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch | None]:
    """Exports are made by the process that tests: another one takes seconds to import torch. test_engines.py has that too. One
    that a worker of pytest-xdist has made serves the other as well: a name says all of what is in a file."""
    if WITHOUT_TORCH:
        yield None
        return
    from vidpred_ros import engines

    temporary = tmp_path_factory.getbasetemp()
    made = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "exports"

    def here(model: ReleasedModel, spec: engines.GraphSpec, options: list[str], path: Path) -> None:
        from vidpred_ros.engines.export import export

        if not (made / path.name).is_file():
            export(model, spec, made / path.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made / path.name, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "export_apart", here)
        yield patch


@pytest.fixture(scope="session", autouse=True)
def streets_stay() -> Iterator[None]:
    """Of a short synthetic drive most of the time goes into painting its street: the last few are kept."""
    from vidpred_ros.sources import synthetic
    from vidpred_ros.sources.synthetic_world import Course, World

    painted: dict[tuple[int, float], World] = {}

    def street(course: Course) -> World:
        key = course.seed, course.length
        painted[key] = painted.pop(key, None) or World(course)
        if len(painted) > 4:
            del painted[next(iter(painted))]
        return painted[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "World", street)
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of a small random network of the released kind; every test shares its exports."""
    pytest.importorskip("torch", reason="needs torch to make a model")
    from helpers.models import make_model

    return make_model(tmp_path_factory.mktemp("models"))
