"""A ROS 2 graph of its own for each test that opens one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from helpers.ros import Graph


@pytest.fixture
def graph(tmp_path: object) -> Iterator[Graph]:
    from helpers.ros import Graph

    made = Graph(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    """One graph for the tests of a module that leave its nodes as they found them."""
    from helpers.ros import Graph

    made = Graph(tmp_path_factory.mktemp("graph"))
    yield made
    made.close()
