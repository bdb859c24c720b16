"""The repository itself: one version, nothing that holds on one machine only, and a wheel with everything in it."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import jupyter_kuberay
from tools import bundle

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Where packages come from differs from site to site: it is configuration, never source.
INDEXES = re.compile(
    "|".join((r"pypi[.]org", r"pythonhosted[.]org", r"registry[.]npmjs", r"download[.]pytorch", r"proxy[.]golang", r"deb[.]debian"))
)
HOMES = re.compile(r"(?<![\w.])/(?:root|work|home/(?!ray\b|jovyan\b)\w+|Users)/")


def committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("what", [pytest.param(INDEXES, id="a package index's host"), pytest.param(HOMES, id="a folder of one machine")])
def test_no_committed_file_names(what):
    found = []
    for path in committed():
        text = path.read_bytes().decode(errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in what.finditer(text)]
    assert found == []


def test_no_committed_file_is_larger_than_a_mebibyte():
    assert [path.name for path in committed() if path.stat().st_size > 2**20] == []


def test_there_is_one_version():
    assert PROJECT["version"] == jupyter_kuberay.__version__ == importlib.metadata.version("jupyter-kuberay")


def test_the_changelog_begins_with_this_version():
    (first, *_) = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first in ("Unreleased", PROJECT["version"])


def test_the_constraints_are_versions_only():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.!]*", line)] == []


def test_the_constraints_cover_everything_that_the_project_asks_for():
    constrained = {re.split("==", line)[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}
    asked = PROJECT["dependencies"] + [package for extra in PROJECT["optional-dependencies"].values() for package in extra]
    assert {re.split(r"[\[<>=~! ;]", package)[0].lower().replace("_", "-") for package in asked} <= constrained


def test_every_link_to_a_file_in_the_documentation_leads_somewhere():
    broken = []
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("binder/*.md")]:
        links = re.findall(r"\]\(([^)#\s]+)[^)]*\)|(?:src|srcset)=\"([^\"]+)\"", page.read_text())
        for link in filter(None, (one or other for one, other in links)):
            if "://" not in link and not (page.parent / link).exists():
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert broken == []


def test_every_make_target_that_the_documentation_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in ROOT.glob("*.md") for name in re.findall(r"(?:^    |`)make ([a-z-]+)", page.read_text(), re.MULTILINE)}
    assert {"demo", "test", "lab"} <= named <= targets


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Built with the backend of this environment, so that no network is needed."""
    assert bundle.problem() is None  # or it would be built here, and no test see that it was stale
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        ROOT / "tools" / "uv",
        "build",
        "--quiet",
        "--wheel",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "--out-dir",
        folder,
    ]
    subprocess.run(command, cwd=ROOT, check=True, timeout=110)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_has_the_notebooks(wheel):
    notebooks = {Path(name).name for name in wheel.namelist() if name.startswith("jupyter_kuberay/notebooks/") and name.endswith(".ipynb")}
    assert notebooks == {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert notebooks


def test_the_wheel_has_every_file_of_the_package(wheel):
    here = {path.relative_to(ROOT).as_posix() for path in committed() if path.is_relative_to(ROOT / "jupyter_kuberay")}
    assert here <= set(wheel.namelist())


def test_the_wheel_has_its_licence_and_says_that_it_is_typed(wheel):
    names = wheel.namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "jupyter_kuberay/py.typed" in names


def test_the_wheel_brings_no_tests_and_nothing_of_this_machine(wheel):
    whole = f"jupyter_kuberay-{PROJECT['version']}"
    assert {name.partition("/")[0] for name in wheel.namelist()} == {"jupyter_kuberay", f"{whole}.dist-info", f"{whole}.data"}
    data = {name.removeprefix(f"{whole}.data/data/") for name in wheel.namelist() if name.startswith(f"{whole}.data/")}
    assert {name for name in data if not name.startswith("share/jupyter/labextensions/jupyter-kuberay/")} == {
        "etc/jupyter/jupyter_server_config.d/jupyter_kuberay.json"
    }
    assert not [name for name in wheel.namelist() if "__pycache__" in name or name.endswith(".pyc")]
