"""The recipe for conda and the environment file say what pyproject.toml says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

from bids_qmri import __version__

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())
ON_CONDA_FORGE = {"isal": "python-isal", "matplotlib": "matplotlib-base"}
"""Packages that have another name there."""


def parts(requirement: str) -> tuple[str, str]:
    name, version = re.fullmatch(r"([\w.-]+) ?(>=[\d.]+)", requirement).groups()
    return ON_CONDA_FORGE.get(name, name), version


def test_conda_asks_for_the_packages_that_pip_asks_for() -> None:
    asked = {parts(line) for line in PROJECT["dependencies"]}
    assert {parts(line) for line in RECIPE["requirements"]["run"] if not line.startswith("python >")} == asked
    assert f">={RECIPE['context']['python_min']}" == PROJECT["requires-python"]


def test_conda_makes_the_commands_that_pip_makes() -> None:
    made = dict(line.split(" = ") for line in RECIPE["build"]["python"]["entry_points"])
    assert made == PROJECT["scripts"]


def test_the_recipe_has_the_version_and_licence_of_the_package() -> None:
    assert RECIPE["context"]["version"] == __version__
    assert RECIPE["about"]["license"] == PROJECT["license"]
    assert RECIPE["about"]["license_file"] == PROJECT["license-files"]


def test_what_the_environment_reads_is_in_the_repository() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    [by_pip] = [line["pip"] for line in environment["dependencies"] if isinstance(line, dict)]
    for line in by_pip:
        option, path = line.split()
        assert option in ("--constraint", "--editable")
        assert (ROOT / path).exists()
