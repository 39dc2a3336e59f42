"""environment.yml, requirements.lock and pyproject.toml say the same."""

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rattler import MatchSpec

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
CONDA = [line for line in DEPENDENCIES if isinstance(line, str)]
PIP = [line for d in DEPENDENCIES if isinstance(d, dict) for line in d["pip"]]


def wanted() -> dict[str, SpecifierSet]:
    """Return what pyproject.toml asks for, the extras of ``dev`` included, by name."""
    extras = PROJECT["optional-dependencies"]
    (dev,) = map(Requirement, extras["dev"])
    lines = [
        *PROJECT["dependencies"],
        *(line for name in sorted(dev.extras) for line in extras[name]),
    ]
    requirements = [Requirement(line) for line in lines]
    return {r.name: r.specifier for r in requirements if r.name != PROJECT["name"]}


def test_environment_names_the_packages_of_pyproject_with_the_same_bounds():
    given = {}
    for line in CONDA:
        spec = MatchSpec(line)  # conda's own reading: it raises where conda would
        given[spec.name.normalized] = SpecifierSet(str(spec.version or ""))
    python = given.pop("python")
    assert given.pop("pip") == SpecifierSet()
    given |= {r.name: r.specifier for r in map(Requirement, PIP[:-1])}

    assert given == wanted()
    assert python == SpecifierSet(PROJECT["requires-python"])


def test_environment_installs_the_package_itself_last():
    assert PIP[-1] == "-e ."


def test_no_package_is_listed_twice():
    names = [MatchSpec(line).name.normalized for line in CONDA]
    names += [Requirement(line).name for line in PIP[:-1]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("name", "bounds"), wanted().items())
def test_lock_pins_a_version_within_the_bounds(name, bounds):
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [r for r in map(Requirement, lines) if r.name.lower() == name.lower()]

    assert pins, f"{name} is not in requirements.lock"
    for pin in pins:
        (version,) = pin.specifier
        assert version.operator == "=="
        assert bounds.contains(version.version)
