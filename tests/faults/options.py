"""Faults of files that options name: filters, configurations, plugins, priors, networks and their cards."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
from faults.kinds import USAGE, Case, Fault, Spoil, forbid, option, sparse

from bids_qmri.catalogue import get_model
from bids_qmri.estimators.networks.network_file import shipped_network

DEEP = "[" * 5000 + "]" * 5000
DIGITS = "9" * 5000


def _network(change: Callable[[Path], object]) -> Spoil:
    """Copy the network and the card of T1 maps, changed."""

    def spoil(case: Case) -> list[str]:
        shipped = shipped_network("vfa")
        assert shipped is not None
        for suffix in (".onnx", ".json"):
            shutil.copy(shipped.with_suffix(suffix), case.extra / f"mine{suffix}")
        change(case.extra / "mine.onnx")
        return ["--network", str(case.extra / "mine.onnx")]

    return spoil


def _card(**changes: Any) -> Spoil:
    def change(file: Path) -> None:
        card = file.with_suffix(".json")
        card.write_text(json.dumps(json.loads(card.read_text()) | changes))

    return _network(change)


def _card_text(text: str | bytes) -> Spoil:
    data = text.encode() if isinstance(text, str) else text
    return _network(lambda file: file.with_suffix(".json").write_bytes(data))


def _replaced(suffix: str, make: Callable[[Path], object]) -> Spoil:
    def change(file: Path) -> None:
        file.with_suffix(suffix).unlink()
        make(file.with_suffix(suffix))

    return _network(change)


def _model(change: Callable[[Any], object]) -> Spoil:
    """Name a network of random weights whose graph is changed, and its card fits."""

    def spoil(case: Case) -> list[str]:
        import onnx

        vfa = get_model("vfa")
        file = networks.write_network(case.extra, vfa)
        proto = onnx.load(file)
        change(proto)
        file.write_bytes(proto.SerializeToString())
        networks.seal(file, networks.card_of(vfa))
        return ["--network", str(file)]

    return spoil


def _random(proto: Any) -> None:
    proto.graph.node[4].op_type = "RandomNormalLike"


def _custom(proto: Any) -> None:
    from onnx import helper

    proto.graph.node[4].domain = "com.example"
    proto.opset_import.append(helper.make_opsetid("com.example", 1))


def _outside(proto: Any) -> None:
    from onnx import TensorProto
    from onnx.external_data_helper import set_external_data

    proto.graph.initializer[0].data_location = TensorProto.EXTERNAL
    set_external_data(proto.graph.initializer[0], "../../secret")


def _future(proto: Any) -> None:
    proto.opset_import[0].version = 999


def _closed(path: Path) -> None:
    path.write_text("{}")
    forbid(path)


FILTER = ("--bids-filter-file", "filter.json")
CONFIG = ("--config-file", "run.toml")
PLUGIN = ("--use-plugin", "plugin.yml")
PRIOR = ("--prior", "prior.toml")


def _row(kind: str, spoil: Spoil, *says: str) -> Fault:
    return Fault(kind, spoil, says, USAGE, others=False)


def _missing(flag: str, name: str) -> Spoil:
    return lambda case: [flag, str(case.extra / name)]


def _files(word: str, flag: str, name: str, damaged: str) -> list[Fault]:
    """Return what can be wrong with any file that an option names."""
    file = name.replace(".", r"\.")
    return [
        _row(f"{word}: not there", _missing(flag, name), file, "no such file|does not exist"),
        _row(f"{word}: damaged", option(flag, name, damaged), file, "cannot be read"),
        _row(f"{word}: not UTF-8", option(flag, name, b"a = \xff\xfe"), file, "is not UTF-8"),
        _row(f"{word}: a gigabyte", option(flag, name, sparse(2**30)), file, "1,024 MB"),
        _row(f"{word}: folder", option(flag, name, Path.mkdir), file, "is a folder|no such file"),
        _row(f"{word}: named pipe", option(flag, name, os.mkfifo), file, "is a named pipe|no such file"),
    ]


ROWS = [
    *_files("filter file", *FILTER, "{"),
    *_files("configuration file", *CONFIG, "models = ["),
    *_files("plugin file", *PLUGIN, "plugin: ["),
    *_files("priors", *PRIOR, "[ivim.d"),
    _row("filter file: nested 5,000 deep", option(*FILTER, DEEP), r"filter\.json", "nested too deeply"),
    _row("filter file: a list", option(*FILTER, "[]"), r"filter\.json", "is not an object of objects"),
    _row(
        "configuration file: nested 5,000 deep",
        option(*CONFIG, f"a = {DEEP}"),
        r"run\.toml",
        "nested too deeply",
    ),
    _row("configuration file: 5,000 digits", option(*CONFIG, f"nprocs = {DIGITS}"), r"run\.toml", "digits"),
    _row("configuration file: an unknown option", option(*CONFIG, "colour = 3"), r"run\.toml", "colour"),
    _row("configuration file: a wrong value", option(*CONFIG, 'nprocs = "many"'), r"run\.toml", "many"),
    _row("plugin file: nested 5,000 deep", option(*PLUGIN, DEEP), r"plugin\.yml", "nested too deeply"),
    _row("plugin file: 5,000 digits", option(*PLUGIN, f"a: {DIGITS}"), r"plugin\.yml", "digits"),
    _row(
        "plugin file: code",
        option(*PLUGIN, "!!python/object/apply:os.system [ls]"),
        r"plugin\.yml",
        "cannot be read",
    ),
    _row(
        "plugin file: a date that is none", option(*PLUGIN, "a: 2020-99-99"), r"plugin\.yml", "cannot be read"
    ),
    _row("plugin file: without a plugin", option(*PLUGIN, "a: 1"), r"plugin\.yml", "names no plugin"),
    _row("priors: of no model", option(*PRIOR, "[nothing.x]\ncentre = 1"), r"prior\.toml", "is 'nothing'"),
    _row(
        "priors: of no parameter",
        option(*PRIOR, "[ivim.x]\ncentre = 1\nwidth = 1"),
        r"prior\.toml",
        "no parameter 'x'",
    ),
    _row(
        "priors: infinite",
        option(*PRIOR, "[ivim.d]\ncentre = inf\nwidth = 1"),
        r"prior\.toml",
        "centre is inf",
    ),
    _row(
        "priors: in another unit",
        option(*PRIOR, "[ivim.d]\ncentre = 1.1\nwidth = 0.2"),
        r"prior\.toml",
        "centre is 1.1",
    ),
    _row("priors: empty", option(*PRIOR, ""), r"prior\.toml", "holds no prior"),
    _row("network: not there", _missing("--network", "mine.onnx"), r"mine\.onnx", "is not a file"),
    _row("network: named pipe", _replaced(".onnx", os.mkfifo), r"mine\.onnx", "is not a file|named pipe"),
    _row("network: a gigabyte", _replaced(".onnx", sparse(2**30)), r"mine\.onnx", "1,024 MB"),
    _row(
        "network: no ONNX file",
        _replaced(".onnx", lambda path: path.write_text("hello")),
        r"mine\.onnx",
        "onnxruntime|hash",
    ),
    _row("network: a random operator", _model(_random), r"random-vfa\.onnx", "RandomNormalLike"),
    _row("network: an operator of its own", _model(_custom), r"random-vfa\.onnx", "com.example"),
    _row("network: weights in another file", _model(_outside), r"random-vfa\.onnx", "lie in another file"),
    _row(
        "card: not there",
        _network(lambda file: file.with_suffix(".json").unlink()),
        r"mine\.onnx",
        r"has no mine\.json",
    ),
    _row("card: damaged", _card_text("{"), r"mine\.json", "cannot be read"),
    _row("card: a list", _card_text("[1]"), r"mine\.json", "format: is None"),
    _row("card: not UTF-8", _card_text(b"\xff"), r"mine\.json", "is not UTF-8"),
    _row("card: nested 5,000 deep", _card_text(DEEP), r"mine\.json", "nested too deeply"),
    _row("card: a gigabyte", _replaced(".json", sparse(2**30)), r"mine\.json", "1,024 MB"),
    _row("card: of another format", _card(format=99), r"mine\.json", "format: is 99"),
    _row("card: of no model", _card(model="nothing"), r"mine\.onnx", "network for 'nothing'"),
    _row("card: weights that are no object", _card(weights=[1]), r"mine\.json", "weights: is no object"),
    _row(
        "card: of other weights", _card(weights={"sha256": "0"}), r"mine\.onnx", "sha256: hash of the file is"
    ),
    _row("card: of other quantities", _card(quantities=["t2"]), r"mine\.json", "quantities: is t2"),
    _row("network: operators of the future", _model(_future), r"random-vfa\.onnx", "opset: onnxruntime"),
    _row(
        "filter file: no permission", option(*FILTER, _closed), r"filter\.json", "its permissions forbid it"
    ),
    _row(
        "card: no permission",
        _network(lambda file: forbid(file.with_suffix(".json"))),
        r"mine\.json",
        "its permissions forbid it",
    ),
    _row("network: no permission", _network(forbid), r"mine\.onnx", "its permissions forbid it"),
]
