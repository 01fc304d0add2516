"""Mutated files against the readers: nothing but an error of this package may come of them, and soon.

Run ``python benchmarks/fuzz_readers.py 100000 [target ...]``. Every target writes a sound file, changed at
random, to where files are read, and calls what a run calls on it. A failure is whatever is raised that is not
one of the package's own errors, or takes longer than `LONGEST`; it is printed with its seed. Where a run
turns what a reader did not foresee into one line (`files.one_fault`), it is counted as unforeseen and printed
once by kind. The result is a table in Markdown.
"""

from __future__ import annotations

import gzip
import json
import logging
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import synth
import synth_contrasts

from bids_qmri import catalogue, files
from bids_qmri.bids.acquisition import ReadOptions, Unusable
from bids_qmri.bids.layout import ParticipantFiles, read_layout
from bids_qmri.bids.nifti import open_voxels, read_header, value_range
from bids_qmri.bids.participants import read_participants
from bids_qmri.bids.regions import read_names
from bids_qmri.cli.reading import read_options_file
from bids_qmri.errors import InputError, QmriError
from bids_qmri.estimation.prior import read_priors
from bids_qmri.estimators.networks.network_file import shipped_network
from bids_qmri.estimators.networks.operators import require_allowed
from bids_qmri.estimators.networks.own import network_use

LONGEST = 5
"""s of the processor for one input; usual ones take a millisecond."""

MEMORY = 4 * 2**30
"""Bytes of address space, so that one input that takes all memory fails instead of the machine."""

NUMBERS = (
    *("0", "-0.0", "1", "-1", "1e999", "-1e999", "NaN", "Infinity", "1e-400", "1e308", "2147483648", "0.5"),
    *("9" * 20, "9" * 400, "9" * 5000, "true", "null", '"text"', '"7"', "[]", "{}", "[[1]]", "[1, 2]"),
    *("[" * 100 + "]" * 100, '{"a": 1}', '"\\ud800"', '"\x00"', "1_000", "0x10", "\u0663"),
)
"""What a number is replaced by."""

OTHER_READERS = {"aif": "dce", "TB1map": "VFA"}
"""Suffixes of what is read with others."""

PIECES = (b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\t", b"{", b"}", b"[", b",", b'"', b"\\", b"e", b"-")
VALUE = re.compile(rb'-?\d+(\.\d+)?([eE][-+]?\d+)?|"[^"\n]{0,60}"')


def mutate(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Return a content changed at one to four places."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(CHANGES)(content, others, rng)
    return content


def _bits(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    changed = bytearray(content or b"\0")
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _word(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Overwrite 1, 2, 4 or 8 bytes by an extreme."""
    size = rng.choice((1, 2, 4, 8))
    place = rng.randrange(max(len(content) - size, 1))
    value = rng.choice((b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x80" + b"\0" * 7, rng.randbytes(8)))
    return content[:place] + rng.choice((value[:size], value[:size][::-1])) + content[place + size :]


def _number(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Replace a number or a text by an extreme."""
    found = list(VALUE.finditer(content[:100_000]))
    if not found:
        return _bits(content, others, rng)
    one = rng.choice(found)
    return (
        content[: one.start()] + rng.choice(NUMBERS).encode("utf-8", "surrogatepass") + content[one.end() :]
    )


def _cut(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _dropped(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + content[place + rng.randint(1, 40) :]


def _inserted(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    piece = rng.choice((*PIECES, rng.randbytes(rng.randint(1, 16))))
    return content[:place] + piece * rng.choice((1, 1, 2, 100)) + content[place:]


def _spliced(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    other = rng.choice(others)
    start = rng.randrange(len(other) + 1)
    place = rng.randrange(len(content) + 1)
    return content[:place] + other[start : start + rng.randint(1, 200)] + content[place:]


def _nested(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    depth = rng.choice((1, 3, 70, 2000))
    return (
        b'{"a":' * depth + content + b"}" * depth
        if rng.random() < 0.5
        else b"[" * depth + content + b"]" * depth
    )


CHANGES = (*[_number] * 8, _bits, _bits, _word, _word, _cut, _dropped, _inserted, _spliced, _spliced, _nested)


@dataclass
class Target:
    """One kind of file: sound contents, where each lies, and what a run does with it.

    Parameters
    ----------
    name
        For people.
    places
        Files that are changed, one at a time; what lies there at first is sound.
    read
        Called after each change, with the file; returns whether it was accepted.
    pack
        From what is changed to what is written: the bytes as they are, or compressed.
    """

    name: str
    places: Sequence[Path]
    read: Callable[[Path], bool]
    pack: Callable[[bytes], bytes] = bytes
    sound: dict[Path, bytes] = field(default_factory=dict)


def _found_by(root: Path, listed: ParticipantFiles) -> Callable[[Path], bool]:
    """Return what runs the readers of all techniques that know the suffix of a file."""
    readers = {
        suffix: catalogue.load(f"{module}:find")
        for module in catalogue.readers().values()
        for suffix in catalogue.load(f"{module}:SUFFIXES")
    }

    options = ReadOptions(values={"t10": 1.0})

    def read(path: Path) -> bool:
        suffix = path.name.partition(".")[0].rpartition("_")[2]
        found = readers[OTHER_READERS.get(suffix, suffix)](listed, {}, options, ())
        bad = [one.error for one in found if isinstance(one, Unusable)]
        for error in bad:
            str(error).encode("utf-8")
        return not bad

    return read


def _image(path: Path) -> bool:
    header = read_header(path)
    value_range(path, volumes=True)
    with open_voxels(header, path.parent) as stream:
        stream.read(16)
    return True


def _table(path: Path) -> bool:
    if path.name == "participants.tsv":
        return bool(read_participants(path.parent).columns)
    return bool(read_names(path))


def _card(path: Path) -> bool:
    return bool(network_use.__wrapped__(path.with_suffix(".onnx")))


def _graph(path: Path) -> bool:
    try:
        return bool(require_allowed(path, path.read_bytes()))
    except ValueError as error:
        raise InputError(str(error)) from error


def _options(path: Path) -> bool:
    if path.name == "prior.toml":
        return bool(read_priors(path, [catalogue.get_model("ivim")]))
    parse = {".json": files.parse_json, ".toml": tomllib.loads, ".yml": yaml.safe_load}[path.suffix]
    read_options_file(path, parse, field="--option", needed="options")
    return True


def targets(folder: Path) -> list[Target]:
    """Write sound files of every kind and return what is to be fuzzed."""
    root = synth.new_dataset(folder / "raw")
    synth.add_vfa(root, b1=np.ones(synth.SHAPE))
    synth.add_dce(root)
    synth.add_tensor(root)
    for add in (
        *(synth_contrasts.add_mese, synth_contrasts.add_irt1, synth_contrasts.add_megre),
        *(synth_contrasts.add_mtr, synth_contrasts.add_mp2rage),
    ):
        add(root)
    sub = root / "sub-01"
    find = _found_by(root, read_layout(root, "01"))
    plain = _images(folder)
    tables = [folder / "participants.tsv", folder / "x_dseg.tsv"]
    tables[0].write_text("participant_id\tage\tsex\nsub-01\t30\tF\nsub-02\t41\tM\n")
    tables[1].write_text("index\tname\n1\tgrey\n2\twhite\n")
    options = {
        "prior.toml": "[ivim.d]\ncentre = 1.1e-3\nwidth = 2e-4\nunit = 'mm^2/s'\n",
        "run.toml": 'models = ["vfa", "ivim"]\nnprocs = 2\nmem = "4G"\nb0 = 50.0\nday = 2020-01-01\n',
        "filter.json": '{"vfa": {"acquisition": "hires", "run": [1, 2]}, "dwi": {"direction": null}}',
        "plugin.yml": "plugin: MultiProc\nplugin_args: {n_procs: 2, day: 2020-01-01, list: [1, 2.5, ~]}\n",
    }
    for name, text in options.items():
        (folder / name).write_text(text)
    shipped = shipped_network("vfa")
    assert shipped is not None
    for suffix in (".onnx", ".json"):
        shutil.copy(shipped.with_suffix(suffix), folder / f"mine{suffix}")
    shutil.copy(shipped, folder / "graph.onnx")
    return [
        Target("sidecar", sorted(sub.rglob("*.json")), find),
        Target("b-values, directions", [*sub.rglob("*.bval"), *sub.rglob("*.bvec")], find),
        Target("arterial input", [*sub.rglob("*_aif.tsv")], find),
        Target("participants, regions", tables, _table),
        Target("NIfTI header, .nii", plain, _image),
        Target(
            "NIfTI header, .nii.gz", [folder / "packed1.nii.gz", folder / "packed2.nii.gz"], _image, _packed
        ),
        Target("card", [folder / "mine.json"], _card),
        Target("network", [folder / "graph.onnx"], _graph),
        Target("options, filters, priors", [folder / name for name in options], _options),
    ]


def _images(folder: Path) -> list[Path]:
    """Write images of both versions of the format, plain and packed."""
    data = np.arange(24, dtype=np.int16).reshape(4, 3, 2)
    plain = [folder / "plain1.nii", folder / "plain2.nii"]
    for number, (kind, path) in enumerate(zip((nib.Nifti1Image, nib.Nifti2Image), plain, strict=True), 1):
        image = kind(data, synth.AFFINE)
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"words " * 10))
        nib.save(image, path)
        (folder / f"packed{number}.nii.gz").write_bytes(path.read_bytes())  # packed when it is written
    return plain


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


class Hung(BaseException):
    """Nothing catches it but the loop below."""


def _hung(*_: object) -> None:
    raise Hung


UNFORESEEN: Counter[str] = Counter()


def _watch_unforeseen() -> None:
    """Count what `files.one_fault` turns into a line."""
    convert = files.as_input_error

    def counted(error: Exception, *arguments: object, **more: object) -> InputError:
        if not isinstance(error, QmriError):
            frame = traceback.extract_tb(error.__traceback__)[-1]
            key = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
            if not UNFORESEEN[key]:
                print(f"unforeseen: {key}: {str(error)[:100]}", file=sys.stderr)
            UNFORESEEN[key] += 1
        return convert(error, *arguments, **more)  # type: ignore[arg-type]

    files.as_input_error = counted


def fuzz(target: Target, count: int) -> tuple[Counter[str], float]:
    """Return how many changed files were accepted, refused or failed, and the longest time in s."""
    sound = {path: path.read_bytes() for path in target.places}
    outcomes, slowest = Counter[str](), 0.0
    corpus = list(sound.values())
    for path in target.places:
        path.write_bytes(target.pack(sound[path]))
        if not target.read(path):
            raise SystemExit(f"{path} is refused as it is")
    for seed in range(count):
        rng = random.Random(seed)
        path = rng.choice(target.places)
        path.write_bytes(target.pack(mutate(sound[path], corpus, rng)))
        signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
        start = time.process_time()
        try:
            outcomes["accepted" if target.read(path) else "refused"] += 1
        except QmriError as error:
            str(error).encode("utf-8")
            outcomes["refused"] += 1
        except (Exception, Hung) as error:
            outcomes["failed"] += 1
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            if outcomes["failed"] <= 10:
                print(
                    f"{target.name}, seed {seed}: {type(error).__name__} at {where}: {str(error)[:200]}",
                    file=sys.stderr,
                )
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        slowest = max(slowest, time.process_time() - start)
        path.write_bytes(target.pack(sound[path]))
    return outcomes, slowest


def main() -> int:
    """Fuzz all targets, or those named, and print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    wanted = sys.argv[2:]
    logging.getLogger("bids_qmri").addHandler(logging.NullHandler())
    logging.getLogger("bids_qmri").propagate = False
    logging.getLogger("nibabel").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGVTALRM, _hung)
    _watch_unforeseen()
    failed = 0
    memory_of_disk = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory_of_disk if memory_of_disk.is_dir() else None) as folder:
        made = targets(Path(folder))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        print("| file | executions | accepted | refused | unforeseen | failed | slowest, s | processor, s |")
        print("|---|---|---|---|---|---|---|---|")
        for target in made:
            if wanted and not any(word in target.name for word in wanted):
                continue
            begun, before = time.process_time(), UNFORESEEN.total()
            outcomes, slowest = fuzz(target, count)
            cells = [
                outcomes["accepted"],
                outcomes["refused"],
                UNFORESEEN.total() - before,
                outcomes["failed"],
            ]
            seconds = time.process_time() - begun
            listed = " | ".join(f"{cell:,}" for cell in (count, *cells))
            print(f"| {target.name} | {listed} | {slowest:.2f} | {seconds:.0f} |", flush=True)
            failed += outcomes["failed"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak memory {peak:.0f} MB. Unforeseen: {json.dumps(dict(UNFORESEEN))}")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
