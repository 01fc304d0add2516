"""A network is a program that somebody else wrote: what it may do, for how long, and what is believed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import scheme_networks

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Status
from bids_qmri.estimators.networks import contents, own, trial
from bids_qmri.estimators.networks.contents import read_contents
from bids_qmri.estimators.networks.ncde import Ncde
from bids_qmri.estimators.networks.network_file import LABELS, Network, summary, weights_folder
from bids_qmri.estimators.networks.operators import ALLOWED, require_allowed
from bids_qmri.estimators.networks.own import network_use
from bids_qmri.estimators.networks.session import run_session

onnx = pytest.importorskip("onnx")
helper = onnx.helper
VFA = get_model("vfa")
SHIPPED = sorted(weights_folder().glob("*.onnx"))


def _walked(graph: Any) -> set[tuple[str, str]]:
    """Return the operators of a graph and those within, by the library that knows the format."""
    found = set()
    for node in graph.node:
        found.add((node.domain, node.op_type))
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                found |= _walked(inner)
    return found


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_operators_and_card_are_those_that_the_library_reads(file: Path) -> None:
    proto, found = onnx.load(file), read_contents(file.read_bytes())
    assert found.operators == _walked(proto.graph)
    assert found.metadata == {one.key: one.value for one in proto.metadata_props}
    assert not found.outside
    assert not found.functions
    assert require_allowed(file, file.read_bytes()) == found


def test_the_list_names_operators_of_the_standard_set_and_none_that_is_random_or_endless() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    assert known >= ALLOWED
    forbidden = {name for name in known if "Random" in name} | {
        "Bernoulli",
        "Multinomial",
        "Loop",
        "If",
        "Dropout",
    }
    assert not ALLOWED & forbidden


def _model(nodes: list[Any], *, constants: list[Any] = [], extra: list[str] = []) -> Any:  # noqa: B006
    """Return a network with the ends of a scheme network, of nodes that lead from `signal` to `answer`."""
    size = scheme_networks.scheme().n_measurements
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["V", count])
        for name, count in (("signal", size), ("answer", 3))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    sets = [helper.make_opsetid("", 20), *(helper.make_opsetid(one, 1) for one in extra)]
    proto = helper.make_model(graph, opset_imports=sets, ir_version=10)
    helper.set_model_props(proto, {"card": json.dumps(scheme_networks.card_of(scheme_networks.scheme()))})
    return proto


def _constant(name: str, value: Any) -> Any:
    return onnx.numpy_helper.from_array(np.asarray(value), name)


def _random() -> Any:
    return _model([helper.make_node("RandomNormalLike", ["signal"], ["answer"])])


def _custom() -> Any:
    return _model(
        [helper.make_node("Inverse", ["signal"], ["answer"], domain="com.microsoft")], extra=["com.microsoft"]
    )


def _looped() -> Any:
    body = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "body", [], [])
    return _model([helper.make_node("Loop", ["signal"], ["answer"], body=body)])


def _hidden() -> Any:
    """Return a forbidden operator within the graph of an allowed one."""
    body = helper.make_graph([helper.make_node("Bernoulli", ["x"], ["y"])], "body", [], [])
    return _model([helper.make_node("Scan", ["signal"], ["answer"], body=body, num_scan_inputs=1)])


def _functions() -> Any:
    proto = _random()
    del proto.graph.node[:]
    proto.functions.append(
        helper.make_function(
            "own", "f", ["x"], ["y"], [helper.make_node("Abs", ["x"], ["y"])], [helper.make_opsetid("", 20)]
        )
    )
    return proto


def _outside() -> Any:
    """Return a network with weights in another file, within an attribute."""
    tensor = _constant("w", np.zeros(3, np.float32))
    tensor.data_location = onnx.TensorProto.EXTERNAL
    onnx.external_data_helper.set_external_data(tensor, "../secret")
    return _model([helper.make_node("Constant", [], ["answer"], value=tensor)])


@pytest.mark.parametrize(
    ("make", "seen"),
    [
        (_random, r"operators: has the operator\(s\) RandomNormalLike"),
        (_custom, "operators: has operators of 'com.microsoft'"),
        (_looped, r"operators: has the operator\(s\) Loop"),
        (_hidden, r"operators: has the operator\(s\) Bernoulli"),
        (_functions, "operators: defines operators of its own"),
        (_outside, "external_data: some of its weights lie in another file"),
    ],
)
def test_what_no_network_needs_is_refused_before_it_is_loaded(tmp_path: Path, make: Any, seen: str) -> None:
    file = tmp_path / "mine.onnx"
    file.write_bytes(make().SerializeToString())
    with pytest.raises(InputError, match=rf"mine\.onnx: {seen}"):
        network_use(file)


@pytest.mark.parametrize(
    "content", [b"", b"nothing of the kind", b"\x3a\xff\xff\xff\xff\x0f", b"\x3a\x00" * 3 + b"\x03"]
)
def test_what_is_no_onnx_file_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_contents(content)


def test_graphs_within_graphs_without_end_are_refused() -> None:
    def field(number: int, inner: bytes) -> bytes:
        size, digits = len(inner), b""
        while size >= 128:
            digits, size = digits + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + digits + bytes([size]) + inner

    graph = b""
    for _ in range(20):
        graph = field(1, field(5, field(6, graph)))  # node, attribute, graph
    with pytest.raises(ValueError, match="levels deep"):
        read_contents(field(7, graph))
    with pytest.raises(ValueError, match="operators"):
        read_contents(field(7, field(1, b"") * (contents.MOST_NODES + 1)))


def _slow() -> Any:
    """Return a network that multiplies large matrices for hours."""
    shape = _constant("shape", np.array([3000, 3000], np.int64))
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{i}", f"m{i}"], [f"m{i + 1}"]) for i in range(2000)]
    nodes += [helper.make_node("ReduceMax", ["m2000"], ["top"], keepdims=1)]
    nodes += [helper.make_node("Add", ["signal", "top"], ["answer"])]
    return _model(nodes, constants=[shape])


def _large() -> Any:
    """Return a network that needs 400 GB."""
    nodes = [
        helper.make_node("Expand", ["signal", "shape"], ["wide"]),
        helper.make_node("Exp", ["wide"], ["b"]),
        helper.make_node("ReduceMax", ["b"], ["answer"], keepdims=0),
    ]
    return _model(nodes, constants=[_constant("shape", np.array([10_000_000, 1, 1], np.int64))])


@pytest.mark.parametrize(
    ("make", "seen"),
    [(_slow, "has not answered after 3 s"), (_large, "takes too much memory")],
)
def test_a_network_without_end_is_refused_with_one_line(
    tmp_path: Path, make: Any, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "SECONDS", 3)
    file = tmp_path / "mine.onnx"
    file.write_bytes(make().SerializeToString())
    with pytest.raises(InputError, match=rf"mine\.onnx: network: {seen}.*fix: "):
        network_use(file)


def test_each_content_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = scheme_networks.write(tmp_path)
    assert network_use(file) == ("noddi", "onnx")
    monkeypatch.setattr(trial, "_tried", lambda *_: pytest.fail("tried again"))
    network_use.cache_clear()
    network_use(file)


def test_a_copy_of_a_shipped_network_needs_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "try_out", lambda *_: pytest.fail("tried"))
    for suffix in (".onnx", ".json"):
        (tmp_path / f"mine{suffix}").write_bytes(SHIPPED[0].with_suffix(suffix).read_bytes())
    assert network_use(tmp_path / "mine.onnx")[1] in LABELS.values()


def test_a_network_above_the_size_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "mine.onnx").open("wb") as stream:
        stream.truncate(2**30)
    with pytest.raises(InputError, match=r"mine\.onnx: has 1,024 MB"):
        network_use(tmp_path / "mine.onnx")


class _Answers:
    """A session with answers of our choice."""

    def __init__(self, *answers: Any) -> None:
        self.answers = answers

    def run(self, names: Any, inputs: Any) -> list[Any]:
        return [np.asarray(answer) for answer in self.answers]


@pytest.mark.parametrize(
    "answer",
    [np.zeros((2, 4), np.float32), np.zeros(2, np.float32), np.zeros((2, 3), int), np.array([["a"] * 3] * 2)],
)
def test_answers_of_another_shape_or_kind_are_refused(answer: Any) -> None:
    with pytest.raises(InputError, match=r"x\.onnx: outputs: answers"):
        run_session(_Answers(answer), Path("x.onnx"), None, {}, (2, 3))


def test_a_network_that_fails_on_a_scan_is_named() -> None:
    class Broken:
        def run(self, *_: object) -> None:
            raise RuntimeError("non-zero status\ncode")

    with pytest.raises(
        InputError, match=r"x\.onnx: network: fails on a scan \(RuntimeError: non-zero status code"
    ):
        run_session(Broken(), Path("x.onnx"), None, {}, (2, 3))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["shift", "spread"])
def test_answers_that_are_not_finite_are_never_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, which: str
) -> None:
    """Voxel 1 gets an answer that is no number; the others are as they were."""
    file = networks.write_network(tmp_path, VFA)
    protocol = VFA.protocol(np.deg2rad([3.0, 10.0, 20.0]), np.full(3, 0.015))
    signal = VFA.signal(np.array([[0.8, 1.0, 1.2], [1000.0] * 3]), protocol).T
    sound = Ncde(network=file).fit(VFA, signal, protocol, sigma=1.0)
    run = Network.run

    def spoiled(self: Network, path: Any, context: Any) -> Any:
        real = self.session

        class Session:
            def run(self, names: Any, inputs: Any) -> Any:
                answers = [np.array(one) for one in real.run(names, inputs)]
                answers[names.index(which)][1, 0] = value
                return answers

        return run(Network(self.file, self.card, Session()), path, context)

    monkeypatch.setattr(Network, "run", spoiled)
    found = Ncde(network=file).fit(VFA, signal, protocol, sigma=1.0)
    assert found.status.tolist()[1] == Status.UNUSABLE
    assert np.isnan(found.maps["t1"][1])
    for voxel in (0, 2):
        assert found.status[voxel] == sound.status[voxel]
        assert found.maps["t1"][voxel] == sound.maps["t1"][voxel]


def test_a_negative_standard_deviation_is_never_believed() -> None:
    network = Network(
        Path("x.onnx"),
        {"quantities": ["t1"]},
        _Answers(np.zeros((2, 1), np.float32), np.array([[1.0], [-1.0]], np.float32)),
    )
    shift, spread = network.run(np.zeros((2, 3, 1), np.float32), np.zeros((2, 1), np.float32))
    assert np.isnan(shift[1, 0])
    assert np.isnan(spread[1, 0])
    assert spread[0, 0] == 1


def test_the_hash_of_a_network_is_told_with_and_without_a_card(tmp_path: Path) -> None:
    file = scheme_networks.write(tmp_path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert summary(file) == {"File": "random.onnx", "SHA256": digest}
    with_card = networks.write_network(tmp_path, VFA)
    assert summary(with_card)["SHA256"] == hashlib.sha256(with_card.read_bytes()).hexdigest()
    assert summary(SHIPPED[0])["SHA256"] == hashlib.sha256(SHIPPED[0].read_bytes()).hexdigest()
