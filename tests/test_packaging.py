"""What is shipped: the wheel is complete without the checkout, versions are exact, facts agree."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from urllib.parse import unquote

import pytest

from bids_qmri import __version__
from bids_qmri.catalogue import entries, model_names
from bids_qmri.cli.exit import MEANING
from bids_qmri.outputs.tables import output_table

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    shipped = set(zipfile.ZipFile(wheel).namelist())
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "bids_qmri").rglob("*")
        # Object code is made where it runs.
        if path.is_file() and not {"__pycache__", "objects"} & set(path.parts)
    }
    texts = {f"bids_qmri/{path.relative_to(ROOT)}" for path in (ROOT / "boilerplate").rglob("*.*")}
    assert package | texts <= shipped


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"bids_qmri", f"bids_qmri-{PROJECT['version']}.dist-info"}


def test_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r})\n"
        "import bids_qmri; from pathlib import Path\n"
        f"assert Path(bids_qmri.__file__).is_relative_to({str(tmp_path)!r})\n"
        "from bids_qmri.catalogue import entries, model_names\n"
        "from bids_qmri.outputs.tables import output_table\n"
        "from bids_qmri.cli.run import main\n"
        "assert all(output_table(model).maps for model in model_names())\n"
        "sys.exit(main(['/nowhere', '/nowhere-else', 'participant']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2, result.stderr


def test_versions_agree() -> None:
    assert PROJECT["version"] == __version__
    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"ARG VERSION={__version__}" in (ROOT / "Dockerfile").read_text()


def normal(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=\[ ;]", requirement)[0]).lower()


def test_every_dependency_has_an_exact_version() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[\w.+]+( ; .+)?", line) for line in lines)
    extras = PROJECT["optional-dependencies"]
    optional = [extras[name] for name in ("test", "train", "dicom", "parametric-map")]
    asked = sum(optional, PROJECT["dependencies"])
    assert {normal(name) for name in asked} <= {normal(line) for line in lines}
    assert "torch==2.13.0" in lines


def test_running_needs_no_torch() -> None:
    assert not {"torch", "torchcde", "onnx"} & {normal(name) for name in PROJECT["dependencies"]}


def test_readme_states_every_exit_code() -> None:
    table = (ROOT / "README.md").read_text()
    stated = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| "))
    assert {str(int(code)) for code in MEANING} <= set(re.findall(r"\d+", stated))


def test_readme_names_every_estimator() -> None:
    text = (ROOT / "README.md").read_text()
    table = "".join(line for line in text.splitlines(keepends=True) if line.startswith("| "))
    labels = {label for _, entry in entries() for label in entry.estimators}
    assert labels <= set(re.findall(r"\w+", table.replace("B0", "")))


def test_documentation_links_to_files_that_exist() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_documentation_cites_the_publication_of_every_model() -> None:
    text = unquote((ROOT / "docs" / "models.md").read_text())
    for model in model_names():
        assert f"https://doi.org/{output_table(model).reference.doi})" in text, model


def test_documentation_of_outputs_names_every_map() -> None:
    text = (ROOT / "docs" / "outputs.md").read_text()
    for model in model_names():
        names = {row.param or row.suffix for row in output_table(model).maps}
        [line] = [line for line in text.splitlines() if re.match(rf"\| ([a-z]+, )*{model}[ ,]", line)]
        assert names <= set(re.findall(r"[A-Za-z0-9]+", line)), model


def test_every_path_that_the_image_is_built_from_is_in_git() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a checkout")
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    copied = {path for line in lines for path in line.split()}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    files = listed.stdout.splitlines()
    assert {"pyproject.toml", "bids_qmri"} <= copied
    for path in copied:
        assert any(file == path or file.startswith(f"{path}/") for file in files), path


def test_the_image_is_built_from_all_that_running_needs_each_with_a_hash() -> None:
    text = (ROOT / "requirements" / "run.txt").read_text()
    named = {normal(line) for line in text.splitlines() if re.match(r"\w", line)}
    asked = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dicom"]]
    assert {normal(name) for name in asked} <= named
    assert text.count("--hash=sha256:") >= len(named)
