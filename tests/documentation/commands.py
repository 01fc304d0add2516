"""Lines of a shell, and the parsers of our own commands that read them."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec

from pages import PROGRAMS, ROOT

from bids_qmri.cli import evaluate, finetune, inline, networks, status, study_prior, train
from bids_qmri.cli.parser import build_parser

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "bids_qmri": build_parser,
    "bids_qmri-evaluate": evaluate._parser,
    "bids_qmri-inline": inline.make_parser,
    "bids_qmri-networks": networks._parser,
    "bids_qmri-status": status._parser,
    "bids_qmri-train": train._parser,
    "bids_qmri-train finetune": finetune._parser,
    "bids_qmri-train prior": study_prior._parser,
}
OURS = ("benchmarks/", "boilerplate/", "conda/", "docs/", "examples/", "findings/", "requirements/", "tests/")
"""Words that begin so name files of this repository."""

IMAGES = ("bids_qmri", "bids_qmri.sif")


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every command of a block, without assignments before it."""
    for line in text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word not in ("&&", ";", "|", "||"):
                words += [word] if words or not re.fullmatch(r"[A-Z_]+=.*", word) else []
            elif words:
                yield words
                words = []


def check(words: Sequence[str]) -> None:
    """Fail unless a command could be run as it stands."""
    for word in words:
        assert not word.startswith(OURS) or (ROOT / word).exists(), f"{word} is not there"
    program, rest = words[0], list(words[1:])
    if program in {name.split()[0] for name in PARSERS}:
        parse(program, rest)
    elif program in CHECKS:
        CHECKS[program](rest)
    else:
        assert program in PROGRAMS, f"nobody checks {program}"


def parse(program: str, rest: Sequence[str]) -> None:
    """Let the command's own parser read its arguments."""
    longer = f"{program} {rest[0]}" if rest else ""
    parser, rest = (PARSERS[longer], rest[1:]) if longer in PARSERS else (PARSERS[program], rest)
    try:
        parser().parse_args(list(rest))
        code = 0
    except SystemExit as ended:  # --help and --version end with 0, argparse's own errors with 2
        code = int(ended.code or 0)
    assert code == 0, f"{program} does not take {shlex.join(rest)}"


def _make(words: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for word in words:
        assert "=" in word or word in targets, f"make has no target {word}"


def _pip(words: list[str]) -> None:
    for extra in re.findall(r"bids_qmri\[([\w,-]+)\]", " ".join(words)):
        assert set(extra.split(",")) <= set(PROJECT["optional-dependencies"]), extra
    if "-c" in words:
        assert (ROOT / words[words.index("-c") + 1]).is_file()


def _python(words: list[str]) -> None:
    module = words[words.index("-m") + 1] if "-m" in words else ""
    if module == "bids_qmri":
        parse(module, words[words.index("-m") + 2 :])
    elif module.startswith("bids_qmri"):
        assert find_spec(module) is not None, module
    elif module:
        import_module(module)


def _container(words: list[str]) -> None:
    """Check what stands behind the name of the image, by the entry point if one is named."""
    if "run" not in words:
        for word in words:
            assert not word.endswith(".def") or (ROOT / word).is_file(), word
        return
    [place] = [index for index, word in enumerate(words) if word in IMAGES]
    entry = words[words.index("--entrypoint") + 1] if "--entrypoint" in words else "bids_qmri"
    check([entry, *words[place + 1 :]])


def _completion(words: list[str]) -> None:
    """Check that what shells are to complete are commands of ours."""
    program, *completed = words[0].strip("$()").split()
    assert program == "register-python-argcomplete"
    assert set(completed) <= set(PROJECT["scripts"])


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "eval": _completion,
    "make": _make,
    "pip": _pip,
    "python": _python,
    "docker": _container,
    "podman": _container,
    "apptainer": _container,
}
