from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import rclpy
import yaml
from rclpy.node import Node
from rclpy.parameter import Parameter

from vidpred_ros.errors import ConfigError
from vidpred_ros.nodes.middleware import config_file
from vidpred_ros.nodes.parameters import CAMERA, PREDICTOR, Parameters, Spec

SPECS = (
    Spec("count", 2, "A whole number.", low=1, high=9),
    Spec("share", 0.5, "A number.", low=0.0, high=1.0),
    Spec("mode", "fast", "A word.", choices=("fast", "slow")),
    Spec("on", True, "A switch."),
    Spec("names", (), "Words."),
)


@pytest.fixture
def make_node() -> Iterator[Callable[..., Node]]:
    """Makes a node that was given parameters at its start."""
    context = rclpy.Context()
    rclpy.init(context=context)
    nodes = []

    def make(**given: Any) -> Node:
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        nodes.append(
            rclpy.create_node(
                "parameters",
                context=context,
                parameter_overrides=overrides,
                automatically_declare_parameters_from_overrides=True,
            )
        )
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize(("node", "specs"), [("predictor", PREDICTOR), ("camera", CAMERA)])
def test_the_parameter_file_lists_every_parameter_with_its_default(
    node: str, specs: tuple[Spec, ...]
) -> None:
    listed = yaml.safe_load(config_file("predictor.yaml").read_text())[f"/**/{node}"]["ros__parameters"]
    assert list(listed) == [spec.name for spec in specs]
    for spec in specs:
        assert spec.checked(listed[spec.name]) == spec.default
        assert type(listed[spec.name]) is (list if isinstance(spec.default, tuple) else type(spec.default))


@pytest.mark.parametrize("spec", [*PREDICTOR, *CAMERA], ids=lambda spec: spec.name)
def test_every_default_is_valid_and_described(spec: Spec) -> None:
    assert spec.checked(spec.default) == spec.default
    assert spec.descriptor().description.endswith(".")


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("count", 0, "count must lie in 1..9, not 0"),
        ("count", 2.0, "count must be a int, not 2.0"),
        ("count", True, "count must be a int, not True"),
        ("share", float("nan"), "share must lie in 0..1, not nan"),
        ("share", "much", "share must be a float, not 'much'"),
        ("mode", "medium", "mode must be one of fast, slow, not 'medium'"),
        ("on", 1, "on must be a bool, not 1"),
        ("names", "front", "names must be a list of words, not 'front'"),
        ("names", [1, 2], "names must be a list of words, not"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_wrong(
    make_node: Callable[..., Node], name: str, value: Any, complaint: str
) -> None:
    declared = Parameters(make_node(**{name: value}), SPECS)
    with pytest.raises(ConfigError, match=complaint):
        declared.values()


def test_given_values_and_defaults(make_node: Callable[..., Node]) -> None:
    declared = Parameters(make_node(count=9, share=1), SPECS)
    assert declared.values() == {"count": 9, "share": 1.0, "mode": "fast", "on": True, "names": ()}


@pytest.mark.parametrize(("given", "names"), [(["front", "left"], ("front", "left")), ([""], ())])
def test_a_list_of_words(make_node: Callable[..., Node], given: list[str], names: tuple[str, ...]) -> None:
    node = make_node(names=given)
    assert Parameters(node, SPECS).values()["names"] == names
    assert Parameters(make_node(), SPECS).values()["names"] == ()
    assert node.get_parameter("names").type_ == Parameter.Type.STRING_ARRAY


def test_all_problems_are_told_at_once_and_a_good_value_mends_them(make_node: Callable[..., Node]) -> None:
    node = make_node(count=0, mode="medium")
    declared = Parameters(node, SPECS, settable=lambda: True)
    with pytest.raises(ConfigError, match="count must lie.*; .*mode must be"):
        declared.values()
    assert node.set_parameters([Parameter("count", value=3)])[0].successful
    with pytest.raises(ConfigError, match="^parameter mode"):
        declared.values()
    assert node.set_parameters([Parameter("mode", value="slow")])[0].successful
    assert declared.values() == {"count": 3, "share": 0.5, "mode": "slow", "on": True, "names": ()}


def test_a_bad_value_cannot_be_set_and_nothing_can_while_it_would_have_no_effect(
    make_node: Callable[..., Node],
) -> None:
    settable = True
    node = make_node()
    Parameters(node, SPECS, settable=lambda: settable)
    refused = node.set_parameters([Parameter("mode", value="medium")])[0]
    assert not refused.successful and "one of fast, slow" in refused.reason
    settable = False
    refused = node.set_parameters([Parameter("mode", value="slow")])[0]
    assert not refused.successful and "read at configure" in refused.reason
    assert node.set_parameters([Parameter("use_sim_time", value=True)])[0].successful, (
        "ROS's own are not ours"
    )


def test_a_misspelt_parameter_is_refused(make_node: Callable[..., Node]) -> None:
    with pytest.raises(ConfigError, match="no parameter cuont: did you mean count"):
        Parameters(make_node(cuont=3), SPECS).values()
    with pytest.raises(ConfigError, match="no parameter zzz: the parameters are count, share, mode, on, names"):
        Parameters(make_node(zzz=3), SPECS).values()


def test_parameters_of_ros_itself_are_not_ours(make_node: Callable[..., Node]) -> None:
    of_ros = {"use_sim_time": False, "start_type_description_service": True, "qos_overrides./image.subscription.depth": 3}
    assert Parameters(make_node(count=3, **of_ros), SPECS).values()["count"] == 3
