"""Mutated messages against the code that serves one client: nothing but a line of text may come of them.

Run ``python benchmarks/fuzz_inline.py 100000``. The connection is memory, so that a hundred thousand take
minutes; everything behind the socket is what the server runs, but for the fits: nine of ten are replaced by a
mean, so that the time goes to messages. Whatever is raised beside InputError, and
whatever takes longer than `LONGEST`, is printed with its seed and counts as a failure.
"""

from __future__ import annotations

import logging
import random
import signal
import struct
import sys
import time
from collections import Counter
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "inline"))
import mrd

from bids_qmri.errors import InputError
from bids_qmri.estimation.blocks import Block
from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.inline import estimation
from bids_qmri.inline.config import Shelf
from bids_qmri.inline.session import Session
from bids_qmri.inline.wire import Connection, Limits

LONGEST = 5
"""s of the processor; usual exchanges take a few milliseconds."""
LIMITS = Limits(message=2**20, memory=2**22, idle=1.0)
EXTREME = (0, 1, 0x7F, 0x80, 0xFF)
XML = (
    "<ismrmrdHeader><encoding><encodingLimits><slice><maximum>1</maximum></slice></encodingLimits></encoding>"
    "<sequenceParameters><TR>15</TR><flipAngle_deg>3</flipAngle_deg><flipAngle_deg>20</flipAngle_deg>"
    "<diffusionDimension>set</diffusionDimension><diffusion><bvalue>0</bvalue></diffusion>"
    "</sequenceParameters></ismrmrdHeader>"
)


FITTED = 10
"""Every so many streams are estimated in earnest."""


class Hung(BaseException):
    """Nothing catches it but the loop below."""


def _hung(*_: object) -> None:
    raise Hung


class Memory:
    """A connection whose client has sent everything and left."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place, self.answer = memoryview(content), 0, bytearray()

    def recv_into(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self.content) - self.place)
        buffer[:count] = self.content[self.place : self.place + count]
        self.place += count
        return count

    def sendall(self, data: bytes) -> None:
        self.answer += data


class AtOnce(Executor):
    """Runs tasks where they are submitted."""

    def submit(self, task, /, *args, **more):  # type: ignore[no-untyped-def]
        future: Future = Future()
        try:
            future.set_result(task(*args, **more))
        except Exception as error:
            future.set_exception(error)
        return future


def streams() -> list[list[bytes]]:
    """Series of every family, small."""
    rng = np.random.default_rng(5)
    found = []
    encodings = {
        "vfa-lsq": [mrd.meta(FlipAngle=a, RepetitionTime=15) for a in (3, 10, 20)],
        "ivim-lsq": [
            mrd.meta(DiffusionBValue=b, DiffusionGradientDirection=(0, 0.6, 0.8), SeriesDescription="dwi")
            for b in (0, 10, 50, 200, 800)
        ],
    }
    for name, metas in encodings.items():
        images = [
            mrd.image(rng.integers(50, 500, (3, 4)).astype(np.int16), meta, set=i, slice=k, index=i)
            for i, meta in enumerate(metas)
            for k in range(2)
        ]
        text = mrd.text('{"parameters": {"sendOriginal": "True", "maps": "status", "sigma": "5"}}')
        found.append([mrd.config(name), mrd.header(XML), text, *images, mrd.CLOSE])
    return found


def mean_signal(model, estimator, how, measured, sigma) -> Block:  # type: ignore[no-untyped-def]
    """Stand in for the fit of a block."""
    values, voxels = measured
    signal, protocol = how.convert(values, voxels)
    status = np.where(np.isfinite(signal).all(axis=1), Status.OK, Status.UNUSABLE).astype(np.uint8)
    found = FitResult({"s0": signal.mean(axis=1)}, {}, np.zeros(len(signal)), status)
    return Block(voxels, values, signal, protocol, found)


def mutate(messages: list[bytes], rng: random.Random) -> list[bytes]:
    """Change one message, or the order of all."""
    changed = list(messages)
    number = rng.randrange(len(changed))
    content = bytearray(changed[number])
    kind = rng.randrange(7)
    if kind == 0:
        for _ in range(rng.randint(1, 8)):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        content[rng.randrange(len(content))] = rng.choice(EXTREME)
    elif kind == 2:
        place = rng.randrange(max(len(content) - 8, 1))
        content[place : place + 8] = struct.pack("<Q", rng.choice((0, 1, 2**15, 2**31, 2**32 - 1, 2**63)))
    elif kind == 3:
        del content[rng.randrange(len(content)) :]
    elif kind == 4:
        place = rng.randrange(len(content))
        content[place:place] = rng.randbytes(rng.randint(1, 64))
    elif kind == 5:
        place = rng.randrange(min(len(content), 210))
        content[place] = rng.randrange(256)
    else:
        rng.shuffle(changed)
        return changed
    changed[number] = bytes(content)
    return changed


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    logging.getLogger("bids_qmri").addHandler(logging.NullHandler())
    logging.getLogger("bids_qmri").propagate = False
    series, outcomes, slowest = streams(), Counter[str](), 0.0
    shelf, pool, earnest = Shelf(), AtOnce(), estimation.fit_block
    begun = time.process_time()
    signal.signal(signal.SIGVTALRM, _hung)
    for seed in range(count):
        rng = random.Random(seed)
        content = b"".join(mutate(rng.choice(series), rng))
        estimation.fit_block = earnest if seed % FITTED == 0 else mean_signal
        signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
        start = time.process_time()
        try:
            session = Session(Connection(Memory(content), LIMITS), shelf, pool)
            session.run()
            outcomes["served"] += 1
        except InputError:
            outcomes["refused with a line"] += 1
        except (Exception, Hung) as error:
            outcomes["failed"] += 1
            print(f"seed {seed}: {type(error).__name__}: {error}")
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        slowest = max(slowest, time.process_time() - start)
    seconds = time.process_time() - begun
    counts = ", ".join(f"{number} {what}" for what, number in outcomes.most_common())
    print(f"{count} mutated streams: {counts}; slowest {slowest:.2f} s, {seconds:.0f} s in all (processor)")
    return int(outcomes["failed"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
