"""Images that contradict each other where no sidecar says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import synth
from synth_contrasts import noisy

from bids_qmri.cli.run import main


@pytest.mark.parametrize(("gain", "said"), [(1.0, False), (1.5, True)])
def test_one_image_of_another_gain_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], gain: float, said: bool
) -> None:
    """Nothing but the images tells a receiver gain that one flip angle was taken with."""
    root = synth.new_dataset(tmp_path / "bids")
    synth.add_vfa(root, flips=(3, 8, 15, 25))
    for index, flip in enumerate((3, 8, 15, 25), 1):
        signal = synth.spoiled_echo(synth.ramp(0.8, 1.4, (12, 12, 3)), 10000.0, flip, 0.015)
        path = root / f"sub-01/anat/sub-01_flip-{index}_VFA.nii.gz"
        synth.write_image(path, noisy(signal * (gain if index == 3 else 1.0), 2.0, index))
    out = tmp_path / "out"
    main(
        [
            str(root),
            str(out),
            "participant",
            "-w",
            str(tmp_path / "w"),
            "--models",
            "vfa",
            "--estimators",
            "lsq",
        ]
    )
    words = "times the noise of air"
    assert (words in capsys.readouterr().err) == said
    assert (words in (out / "sub-01.html").read_text()) == said
    assert (words in (out / "sub-01/anat/sub-01_desc-lsq_T1map.json").read_text()) == said
