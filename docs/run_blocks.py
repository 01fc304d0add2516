"""Run the Python of pages, block after block, in a folder that holds the demonstration.

``python docs/run_blocks.py docs/gallery-t1.md --pictures docs/images --update`` runs a page, keeps the
figures that it saves, and writes what it prints below the code. Tests run pages by the same functions.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

FENCE = re.compile(
    r'^(?P<indent> *)```(?P<language>[\w+-]*)(?: title="(?P<title>[^"]*)")?\n'
    r"(?P<text>.*?)^(?P=indent)``` *$",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """One fenced block: page, number of its first line, the word after the fence, title and text.

    A block with a title is an excerpt of the file that the title names, and is not run.
    """

    page: Path
    line: int
    language: str
    title: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        lines = found["text"].splitlines()
        body = "".join(one.removeprefix(found["indent"]) + "\n" for one in lines)
        yield Block(page, line, found["language"], found["title"] or "", body)


class Ran(NamedTuple):
    """What a page leaves: its names, and what its Python printed before each block of plain text."""

    names: dict[str, Any]
    printed: dict[Block, str]


def run_page(page: Path, folder: Path) -> Ran:
    """Run the Python blocks of a page in one namespace, in a folder that holds ``demo/``.

    An error is reported at its line of the page.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    printed: dict[Block, str] = {}
    said = io.StringIO()
    with contextlib.chdir(folder):
        for block in blocks(page):
            if block.language == "python" and not block.title:
                # Empty lines before it, so that lines of tracebacks are those of the page.
                code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
                said = io.StringIO()
                with contextlib.redirect_stdout(said):
                    exec(code, names)
            elif block.language == "text":
                printed[block] = said.getvalue()
    return Ran(names, printed)


def with_outputs(ran: Ran, page: Path) -> str:
    """Return the text of a page whose blocks of plain text say what its Python printed."""
    text = page.read_text(encoding="utf-8")
    for block, said in ran.printed.items():
        if said:
            text = text.replace(f"```text\n{block.text}```", f"```text\n{said}```", 1)
    return text


def make_demo(folder: Path) -> None:
    """Write ``demo/bids``, ``demo/masks`` and what the command makes of them, as ``make demo`` does."""
    from bids_qmri.demo.dataset import write_dataset, write_masks

    demo = folder / "demo"
    write_dataset(demo / "bids")
    write_masks(demo / "masks")
    folders = [str(demo / name) for name in ("bids", "bids_qmri")]
    more = ["-d", f"masks={demo / 'masks'}", "-w", str(demo / "work"), "--nprocs", "1"]
    command = [sys.executable, "-m", "bids_qmri", *folders, "participant", "group", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the demonstration ended with {done.returncode}:\n{done.stderr}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run pages, and keep their figures."""
    parser = argparse.ArgumentParser(prog="docs/run_blocks.py", description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--demo", type=Path, metavar="DIR", help="what `make demo` wrote; default: made anew")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="where to put figures that pages save")
    parser.add_argument("--update", action="store_true", help="write what was printed into the pages")
    args = parser.parse_args(argv)
    os.environ["MPLBACKEND"] = "agg"
    with TemporaryDirectory() as name:
        folder = Path(name)
        if args.demo is None:
            make_demo(folder)
        else:
            (folder / "demo").symlink_to(args.demo.resolve())
        for page in args.pages:
            ran = run_page(page.resolve(), folder)
            if args.update:
                page.write_text(with_outputs(ran, page), encoding="utf-8")
        for picture in folder.glob("*.png"):
            if args.pictures is not None:
                shutil.copy(picture, args.pictures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
