"""81 x 40 images of 100 x 100 through the inline server: times, memory, and the values of the batch app.

Run ``python benchmarks/inline.py SCHEME`` where SCHEME.bval and SCHEME.bvec are the weightings that the
network is for; add ``--client DIR`` for the client of kspaceKelvin/python-ismrmrd-server as well, from a
folder of it (needs ismrmrd and h5py). Prints what results/inline.md reports. Needs 1 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import nibabel as nib
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "inline"))
import mrd

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.noddi.model import noddi_signal

SLICES, ROWS, COLUMNS = 40, 100, 100
SPACING = 2.0
SNR = 30.0
SEED = 20266
NAMES = {"ndi": "icvf", "odi": "odi", "fwf": "isovf"}
"""Maps, and what they are called in files."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scheme", type=Path)
    parser.add_argument("--method", default="nnmle")
    parser.add_argument("--client", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    bvals = np.loadtxt(args.scheme.with_suffix(".bval")).ravel()
    bvecs = np.loadtxt(args.scheme.with_suffix(".bvec"))
    scheme = DiffusionProtocol(bvals, bvecs.T if bvecs.shape[0] == 3 else bvecs)
    brain, everywhere = (series(scheme, fill) for fill in (False, True))
    config = f"noddi-{args.method}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, volumes in (("tissue in 35 % of the image", brain), ("tissue everywhere", everywhere)):
            plain(title, config, messages(scheme, volumes), args.repeats)
        orders(config, scheme, brain)
        maps = batch(folder, args.method, scheme, brain)
        with server() as (port, _):
            compare("plain client", exchange(port, config, messages(scheme, brain))[0], maps)
        if args.client:
            third_party(folder, args.client.resolve(), config, scheme, brain, maps)


def series(scheme: DiffusionProtocol, everywhere: bool) -> np.ndarray:
    """Magnitudes with Rician noise, (N, slices, rows, columns), int16: an ellipsoid of tissue in air."""
    rng = np.random.default_rng(SEED)
    kinds = 2000
    directions = rng.normal(size=(kinds, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    ndi, odi, fwf = rng.uniform(0.1, 0.9, kinds), rng.uniform(0.05, 0.9, kinds), rng.uniform(0, 0.4, kinds)
    tissue = 1000.0 * noddi_signal(ndi, odi, fwf, directions, scheme)
    shape = SLICES, ROWS, COLUMNS
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    inside = ((x / 0.75) ** 2 + (y / 0.9) ** 2 + (z / 1.05) ** 2 < 1) | everywhere
    kind = rng.integers(0, kinds, shape)
    sigma = 1000.0 / SNR
    volumes = np.empty((len(tissue), *shape), dtype=np.int16)
    for volume, signal in zip(volumes, tissue, strict=True):
        noise = rng.normal(scale=sigma, size=(2, *shape))
        volume[:] = np.rint(np.hypot(np.where(inside, signal[kind], 0.0) + noise[0], noise[1]))
    return volumes


def place(k: int) -> tuple[float, float, float]:
    """Position of a slice in patient axes (left, back, head), mm."""
    return (-COLUMNS * SPACING / 2, -ROWS * SPACING / 2, SPACING * k)


def attributes(scheme: DiffusionProtocol, i: int) -> dict[str, object]:
    """What a host would say of the i-th weighting; columns of files run against those of images."""
    x, y, z = scheme.bvecs[i]
    return {
        "DiffusionBValue": scheme.bvals[i],
        "DiffusionGradientDirection": (x, -y, z),
        "SequenceDescription": "ep2d_diff",
    }


def messages(scheme: DiffusionProtocol, volumes: np.ndarray) -> list[bytes]:
    """One message per image, volume by volume."""
    return [
        mrd.image(
            image,
            mrd.meta(**attributes(scheme, i)),
            **{"repetition": i, "slice": k, "index": i * SLICES + k + 1, "position": place(k)},
        )
        for i, volume in enumerate(volumes)
        for k, image in enumerate(volume)
    ]


@contextmanager
def server(*options: str) -> Iterator[tuple[int, list[str]]]:
    """A server in a process of its own; gives its port and, growing, the lines that it prints."""
    command = "import sys; from bids_qmri.cli.inline import main; sys.exit(main(sys.argv[1:]))"
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", command, "--port", "0", "--config", "vfa-lsq", *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        for line in process.stderr:
            if found := re.search(r"port (\d+)", line):
                break
        reader = Thread(target=lambda: lines.extend(process.stderr), daemon=True)
        reader.start()
        try:
            yield int(found[1]), lines
        finally:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = re.search(r"VmHWM:\s+(\d+)", status)
            lines.append(f"peak RSS {int(peak[1]) / 1024:.0f} MiB")
            process.terminate()


def exchange(port: int, config: str, images: list[bytes]) -> tuple[mrd.Answer, float, float, float]:
    """Send a series; return the answer and the seconds of sending, waiting, and both."""
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(mrd.config(config) + mrd.header())
        for image in images:
            client.sendall(image)
        sent = time.perf_counter()
        client.sendall(mrd.CLOSE)
        answer = mrd.read_answer(client)
        received = time.perf_counter()
    return answer, sent - begun, received - sent, received - begun


def plain(title: str, config: str, images: list[bytes], repeats: int) -> None:
    """Print the times of a client on a plain socket, first series and later ones, and the memory."""
    with server() as (port, lines):
        times = [exchange(port, config, images)[1:] for _ in range(repeats)]
    for name, row in (("first", times[0]), ("best of the others", min(times[1:], key=lambda t: t[2]))):
        print(f"{title}, {name}: sent in {row[0]:.2f} s, maps {row[1]:.2f} s later, {row[2]:.2f} s in all")
    print(f"{title}: {lines[-1]}")


def orders(config: str, scheme: DiffusionProtocol, volumes: np.ndarray) -> None:
    """Print whether the order of arrival changes a single number."""
    images = messages(scheme, volumes)
    shuffled = random.Random(SEED).sample(images, len(images))
    with server() as (port, _):
        answers = [exchange(port, config, order)[0] for order in (images, shuffled, images)]
    same = [
        all(np.array_equal(answers[0].map(name), answer.map(name)) for name in NAMES)
        for answer in answers[1:]
    ]
    print(f"shuffled slices and weightings: identical {same[0]}; second series in a row: identical {same[1]}")


def batch(folder: Path, method: str, scheme: DiffusionProtocol, volumes: np.ndarray) -> dict[str, np.ndarray]:
    """Run the batch app on the same images, as dcm2niix stores them; return (slices, rows, columns)."""
    bids = folder / "bids"
    stem = bids / "sub-01" / "dwi" / "sub-01_dwi"
    stem.parent.mkdir(parents=True)
    x, y, _ = place(0)
    affine = np.diag([-SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = -x, -(y + SPACING * (ROWS - 1)), 0.0
    image = nib.Nifti1Image(np.ascontiguousarray(volumes.T[:, ::-1]), affine)
    nib.save(image, stem.with_suffix(".nii.gz"))
    stem.with_suffix(".json").write_text("{}")
    np.savetxt(stem.with_suffix(".bval"), scheme.bvals[None], fmt="%g")
    np.savetxt(stem.with_suffix(".bvec"), scheme.bvecs.T, fmt="%.10f")
    described = {"Name": "inline benchmark", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (bids / "dataset_description.json").write_text(json.dumps(described))
    command = "import sys; from bids_qmri.cli.run import main; sys.exit(main(sys.argv[1:]))"
    options = ["participant", "--models", "noddi", "--estimators", method, "-w", str(folder / "work")]
    subprocess.run(
        [sys.executable, "-c", command, str(bids), str(folder / "out"), *options],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    found = {}
    for name, param in NAMES.items():
        [file] = (folder / "out").rglob(f"*_param-{param}_desc-{method}_dwimap.nii.gz")
        found[name] = np.asarray(nib.load(file).dataobj)[:, ::-1].T
    return found


def compare(title: str, answer: mrd.Answer, maps: dict[str, np.ndarray]) -> None:
    """Print the largest difference from the maps of the batch app."""
    largest = {name: np.abs(answer.map(name)[:, 0] - np.nan_to_num(maps[name])).max() for name in NAMES}
    text = ", ".join(f"{name} {value:.6f}" for name, value in largest.items())
    print(f"{title}: largest difference from the batch app: {text} (rounding: 0.0005)")


def _store(source: Path, scheme: DiffusionProtocol, volumes: np.ndarray) -> None:
    """Write the series as a file of the format."""
    import ismrmrd

    dataset = ismrmrd.Dataset(str(source), "dataset")
    dataset.write_xml_header(b"<ismrmrdHeader/>")
    for i, volume in enumerate(volumes):
        values = {
            key: [str(v) for v in value] if isinstance(value, tuple) else str(value)
            for key, value in attributes(scheme, i).items()
        }
        for k, pixels in enumerate(volume):
            image = ismrmrd.Image.from_array(pixels, transpose=False)
            image.repetition, image.slice, image.image_index = i, k, (i * SLICES + k + 1) % 2**16
            image.image_series_index, image.image_type = 1, ismrmrd.IMTYPE_MAGNITUDE
            image.field_of_view = COLUMNS * SPACING, ROWS * SPACING, SPACING
            image.position, image.read_dir, image.phase_dir, image.slice_dir = (
                place(k),
                (1, 0, 0),
                (0, 1, 0),
                (0, 0, 1),
            )
            image.attribute_string = ismrmrd.Meta(values).serialize()
            dataset.append_image("image_1", image)
    dataset.close()


def third_party(
    folder: Path,
    client: Path,
    config: str,
    scheme: DiffusionProtocol,
    volumes: np.ndarray,
    maps: dict[str, np.ndarray],
) -> None:
    """Send the series with the client of python-ismrmrd-server, and compare what it stored."""
    import ismrmrd

    source, target = folder / "series.h5", folder / "maps.h5"
    _store(source, scheme, volumes)
    with server() as (port, lines):
        begun = time.perf_counter()
        command = [sys.executable, "client.py", str(source), "-p", str(port), "-c", config, "-o", str(target)]
        subprocess.run(
            [*command, "-G", "maps"],
            cwd=client,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        print(f"third-party client: {time.perf_counter() - begun:.1f} s for its whole process")
    print("".join(line for line in lines if "series" in line).strip())
    answer = mrd.Answer()
    stored = ismrmrd.Dataset(str(target), "maps", create_if_needed=False)
    for group in (name for name in stored.list() if name.startswith("image_")):
        for number in range(stored.number_of_images(group)):
            image = stored.read_image(group, number)
            values = {key: value if isinstance(value, list) else [value] for key, value in image.meta.items()}
            answer.images.setdefault(image.image_series_index, []).append(
                mrd.Received(image.data[0], 0, 0, image.slice, tuple(image.position), values)
            )
    compare("third-party client", answer, maps)


if __name__ == "__main__":
    main()
