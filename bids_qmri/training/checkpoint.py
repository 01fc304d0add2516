"""Checkpoints: arrays and JSON in one .npz file, which cannot run code when it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bids_qmri.errors import UsageError

HEADER = "header.json"


def save_checkpoint(
    file: Path, tag: str, network: nn.Module, optimiser: torch.optim.Optimizer, step: int
) -> None:
    """Write the state of a training; the file is complete or not there.

    Parameters
    ----------
    file
        Name that ends in ``.npz``.
    tag
        What is trained; `load_checkpoint` insists on it.
    network, optimiser
        What has a state.
    step
        Number of steps done.
    """
    arrays: dict[str, Any] = {
        f"network/{name}": value.numpy() for name, value in network.state_dict().items()
    }
    for index, state in optimiser.state_dict()["state"].items():
        arrays |= {f"optimiser/{index}/{name}": value.numpy() for name, value in state.items()}
    arrays[HEADER] = np.frombuffer(json.dumps({"tag": tag, "step": step}).encode(), np.uint8)
    part = file.with_name(file.stem + ".part.npz")
    np.savez(part, allow_pickle=False, **arrays)
    part.replace(file)


def load_checkpoint(file: Path, tag: str, network: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    """Restore the state of a training and return the number of steps done.

    Raises
    ------
    UsageError
        If the checkpoint was left by another recipe or seed.
    """
    with np.load(file, allow_pickle=False) as stored:
        arrays = dict(stored)
    header = json.loads(arrays.pop(HEADER).tobytes())
    if header["tag"] != tag:
        raise UsageError(
            f"holds the training of {header['tag']}, not of {tag}",
            file=file,
            way_out="use another --output, or delete the file to start anew",
        )
    network.load_state_dict(
        {
            name.removeprefix("network/"): torch.from_numpy(value)
            for name, value in arrays.items()
            if name.startswith("network/")
        }
    )
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in arrays.items():
        part, _, rest = key.partition("/")
        if part == "optimiser":
            index, name = rest.split("/")
            state.setdefault(int(index), {})[name] = torch.from_numpy(value)
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return int(header["step"])
