"""Methods text of what was really run, with versions and citations, for papers.

Sentences about models come from the file ``methods.md`` of their technique, the others and the references
from the folder ``boilerplate``. Called by `subject.py` and once per run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path

from bids_qmri import catalogue
from bids_qmri.bids.derivatives import write_atomic
from bids_qmri.errors import InternalError
from bids_qmri.reports.page import render

_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)
_CITATION = re.compile(r"\[(@[\w]+(?:; @[\w]+)*)\]")
_ENTRY = re.compile(r"@\w+\{(\w+),\n(.*?)\n\}", re.DOTALL)
_FIELD = re.compile(r"^  (\w+) = \{(.*)\},?$", re.MULTILINE)
_ACCENTS = {
    r"{\'a}": "á",
    r"{\'e}": "é",
    r"{\^o}": "ô",
    r"{\"e}": "ë",
    r"{\"o}": "ö",
    r"{\"u}": "ü",
    r"{\c{c}}": "ç",
    r"\&": "&",
}

_LATEX = str.maketrans(
    {letter: f"\\{letter}" for letter in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)

_PACKAGES = ("bids_qmri", "dipy", "matplotlib", "nibabel", "nipype", "numpy", "scipy")


@dataclass(frozen=True)
class Work:
    """One entry of references.bib.

    Parameters
    ----------
    key
        Citation key.
    fields
        BibTeX fields as they are written.
    source
        The entry itself.
    """

    key: str
    fields: dict[str, str]
    source: str

    def plain(self, name: str) -> str:
        """Return a field without BibTeX's braces and accents; empty if it has none."""
        text = self.fields.get(name, "")
        for written, letter in _ACCENTS.items():
            text = text.replace(written, letter)
        return text.replace("{", "").replace("}", "").replace("--", "-")

    @property
    def families(self) -> list[str]:
        """Family names of the authors; "others" stands for the rest."""
        return [author.split(",")[0].strip() for author in self.plain("author").split(" and ")]

    @property
    def short(self) -> str:
        """Return the citation in running text: ``Deoni et al., 2003``."""
        names = self.families
        who = names[0] if len(names) == 1 else f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
        return f"{who}, {self.plain('year')}"

    @property
    def full(self) -> str:
        """Return the line of a reference list, without the doi."""
        authors = self.plain("author").replace(" and others", " et al.").replace(" and ", "; ")
        volume, pages = self.plain("volume"), self.plain("pages")
        where = self.plain("journal") or self.plain("booktitle")
        where += (f" {volume}" if volume else "") + (f":{pages}" if pages else "")
        return f"{authors} ({self.plain('year')}). {self.plain('title')}. {where}."

    @property
    def url(self) -> str:
        """Return the address of the doi."""
        return f"https://doi.org/{self.plain('doi')}"


@dataclass(frozen=True)
class Methods:
    """A methods text.

    Parameters
    ----------
    paragraphs
        Plain text, citations resolved.
    works
        What is cited, in alphabetical order.
    sources
        The same text with citations by key: ``[@fram1987]``.
    """

    paragraphs: tuple[str, ...]
    works: tuple[Work, ...]
    sources: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Return the text as Markdown with a list of references."""
        lines = [f"- {work.full} <{work.url}>" for work in self.works]
        return "\n\n".join(["# Methods", *self.paragraphs, "## References", "\n".join(lines)]) + "\n"

    def latex(self) -> str:
        """Return the text as a LaTeX document that reads its references from CITATION.bib."""
        lines = [
            r"\documentclass{article}",
            r"\usepackage[T1]{fontenc}",
            r"\usepackage{natbib}",
            r"\begin{document}",
            r"\section*{Methods}",
            *(f"{_as_latex(source)}\n" for source in self.sources),
            r"\bibliographystyle{plainnat}",
            r"\bibliography{CITATION}",
            r"\end{document}",
        ]
        return "\n".join(lines) + "\n"


def _as_latex(text: str) -> str:
    """Escape what LaTeX reads as commands, and cite as natbib does."""
    parts = _CITATION.split(text)  # text and citations in turn
    plain = [part.translate(_LATEX) for part in parts[::2]]
    cited = [rf"\citep{{{','.join(_keys(group))}}}" for group in parts[1::2]]
    return "".join(part for pair in zip(plain, [*cited, ""], strict=True) for part in pair)


def describe_methods(runs: Iterable[tuple[str, str]], *, repeats: bool = False) -> Methods:
    """Describe what was run.

    Parameters
    ----------
    runs
        Model and label of the estimator of every fit, as often as they occur.
    repeats
        With how repeatability was computed.

    Raises
    ------
    InternalError
        A sentence or a cited work is missing from the boilerplate.
    """
    pairs = sorted(set(runs))
    models = list(dict.fromkeys(model for model, _ in pairs))
    estimators = list(dict.fromkeys(_sentence(model, label) for model, label in pairs))
    after = [_fragment("repeatability")] if repeats else []
    texts = [_fragment("intro"), *map(_of_model, models), *estimators, *after, _fragment("software")]
    cited = sorted({key for text in texts for group in _CITATION.findall(text) for key in _keys(group)})
    works = {key: _work(key) for key in cited}

    def resolve(match: re.Match[str]) -> str:
        return "(" + "; ".join(works[key].short for key in _keys(match.group(1))) + ")"

    versions = {name: metadata.version(name) for name in _PACKAGES}
    return Methods(
        tuple(_CITATION.sub(resolve, text).format_map(versions) for text in texts),
        tuple(sorted(works.values(), key=lambda work: (work.families[0].lower(), work.plain("year")))),
        tuple(text.format_map(versions) for text in texts),
    )


def write_citation(output_dir: Path, runs: Sequence[tuple[str, str]], *, repeats: bool = False) -> list[Path]:
    """Write logs/CITATION.md, .html, .tex and .bib.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    runs
        Model and label of the estimator of every fit.
    repeats
        With how repeatability was computed.
    """
    methods = describe_methods(runs, repeats=repeats)
    content = {
        "md": methods.markdown(),
        "html": render("citation.html", methods=methods),
        "tex": methods.latex(),
        "bib": "\n\n".join(work.source for work in methods.works) + "\n",
    }
    paths = [output_dir / "logs" / f"CITATION.{kind}" for kind in content]
    for path, text in zip(paths, content.values(), strict=True):
        write_atomic(path, text.encode("utf-8"))
    return paths


def _keys(group: str) -> list[str]:
    return [key.removeprefix("@") for key in group.split("; ")]


@cache
def _folder() -> Path:
    """Return the folder of sentences: inside an installed package, beside the package in a source tree."""
    installed = Path(str(resources.files("bids_qmri"))) / "boilerplate"
    return installed if installed.is_dir() else installed.parents[1] / "boilerplate"


def _sentence(model: str, label: str) -> str:
    """Return the text about an estimator: the technique's own, if the label means another there."""
    return _sections(model).get(f"{model} {label}") or _fragment(label)


def _of_model(model: str) -> str:
    if text := _sections(model).get(model):
        return text
    raise InternalError(f"no paragraph describes {model}", file="methods.md", needed=f"a section '# {model}'")


def _sections(model: str) -> dict[str, str]:
    """Return the paragraphs of a technique's methods.md by their headings."""
    technique, _ = catalogue.find_entry(model)
    text = resources.files(technique.package).joinpath("methods.md").read_text(encoding="utf-8")
    parts = _HEADING.split(text)
    return {head.strip(): body.strip() for head, body in zip(parts[1::2], parts[2::2], strict=True)}


def _fragment(name: str) -> str:
    path = _folder() / f"{name}.md"
    if not path.is_file():
        raise InternalError(f"no sentence describes {name}", file=path, needed="one paragraph of text")
    return path.read_text(encoding="utf-8").strip()


@cache
def _library() -> dict[str, Work]:
    own = (resources.files(technique.package) / "references.bib" for technique in catalogue.TECHNIQUES)
    files = [_folder() / "references.bib", *(file for file in own if file.is_file())]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return {
        entry.group(1): Work(entry.group(1), dict(_FIELD.findall(entry.group(2))), entry.group(0))
        for entry in _ENTRY.finditer(text)
    }


def _work(key: str) -> Work:
    if key not in _library():
        raise InternalError(f"{key} is cited but not listed", file="references.bib")
    return _library()[key]
