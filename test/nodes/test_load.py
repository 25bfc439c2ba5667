import pytest

from vidpred_ros.nodes.load import count_windows


@pytest.mark.parametrize(("rate", "kept_of_60"), [(10, 60), (30, 20), (60, 10)])
def test_windows_of_a_camera_that_loses_nothing(rate: int, kept_of_60: int) -> None:
    stamps = [round(i * 1e9 / rate) for i in range(60)]
    assert count_windows(stamps, 0.1, 8) == kept_of_60 - 7
    assert count_windows(stamps[:5], 0.1, 8) == 0
