"""What the commands beside the training say of a name with brackets, which rich would take for its own."""

from __future__ import annotations

from types import ModuleType

import pytest
import typer

from training import calibrate, pixel_scores, precision_scores, segmenter_scores


@pytest.mark.parametrize("module", [calibrate, pixel_scores, precision_scores, segmenter_scores])
def test_a_name_with_brackets_is_shown_as_it_is(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()
    app.command()(module.main)
    with pytest.raises(SystemExit) as stopped:
        app(["[/gone]", "[/gone]"])
    assert stopped.value.code == 2 and "[/gone]" in capsys.readouterr().err
