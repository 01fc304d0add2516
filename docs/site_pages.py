"""Pages of the site that lie elsewhere in the source tree: README as the first one, results of benchmarks."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

ALONE = {"README.md": "index.md"} | dict.fromkeys(("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"), "")
"""Pages at the root, and what they are called on the site if not as they are."""

LINK = re.compile(r"\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")
"""A link to a file, with its text and its anchor: no address, no anchor alone."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages that do not lie in ``docs``."""
    for name, other in ALONE.items():
        files.append(File.generated(config, other or name, abs_src_path=str(ROOT / name)))
    for path in sorted((ROOT / "benchmarks" / "results").iterdir()):
        where = path.relative_to(ROOT).as_posix()
        # Found by search and by links; too many for the menu.
        how = {"abs_src_path": str(path), "inclusion": InclusionLevel.NOT_IN_NAV}
        files.append(File.generated(config, where, **how))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page whose links lead to where its targets are on the site, code where there is no page."""
    source = Path(page.file.abs_src_path or "")
    here = Path(page.file.src_uri).parent

    def led(found: re.Match[str]) -> str:
        text, target, anchor = found.groups(default="")
        absolute = (source.parent / target).resolve()
        if not absolute.is_relative_to(ROOT) or not absolute.exists():
            return found.group()
        where = absolute.relative_to(ROOT).as_posix()
        where = ALONE.get(where) or where.removeprefix("docs/")
        if files.get_file_from_path(where) is None:
            return text
        return f"[{text}]({'../' * len(here.parts)}{where}{anchor})"

    return LINK.sub(led, markdown)
