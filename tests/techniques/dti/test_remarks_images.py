"""Images of another gain within one shell: no tensor explains them, and a remark names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.cli.run import main


@pytest.mark.parametrize(("gain", "named"), [(1.0, False), (0.7, True), (1.5, True)])
def test_an_image_of_another_gain_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], gain: float, named: bool
) -> None:
    root = synth.new_dataset(tmp_path / "bids")
    bvals = [0, 0, 0, *([1000] * 30)]
    vectors = synth.gradient_table(bvals)
    tensor = np.diag([1.5e-3, 0.4e-3, 0.4e-3])
    clean = 1000 * np.exp(-np.array(bvals) * np.einsum("ni,ij,nj->n", vectors, tensor, vectors))
    rng = np.random.default_rng(0)
    data = np.abs(clean + 10 * rng.normal(size=(8, 8, 4, len(bvals))))
    data[..., 20] *= gain
    synth.add_dwi(root, data, bvals, vectors)
    out = tmp_path / "out"
    main(
        [
            str(root),
            str(out),
            "participant",
            "-w",
            str(tmp_path / "w"),
            "--models",
            "dti",
            "--estimators",
            "wls",
        ]
    )
    words = "images 20 (counted from 0) differ from the tensor"
    assert (words in capsys.readouterr().err) == named
    assert (words in (out / "sub-01.html").read_text()) == named
