"""JupyterLab's half of the package: small, of the sources that are there, and never missing from what is installed."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import jupyter_kuberay
from tools import bundle

ROOT = Path(__file__).parents[2]
STATIC = ROOT / bundle.BUNDLE / "static"
LIMIT_KIB = 40
SHOWN = f"jupyter_kuberay-{jupyter_kuberay.__version__}.data/data/share/jupyter/labextensions/jupyter-kuberay/"


def test_the_bundle_of_this_checkout_is_made_from_its_sources():
    assert bundle.problem() is None


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Sources and bundle of this checkout, to be changed."""
    for folder in (bundle.SOURCES, bundle.BUNDLE):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("node_modules", "lib"))
    assert bundle.problem(tmp_path) is None
    return tmp_path


def append(path: Path) -> None:
    path.write_text(path.read_text() + "\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda root: append(root / "labextension/src/index.ts"), "other sources", id="a source that was changed"),
        pytest.param(lambda root: (root / "labextension/src/new.ts").touch(), "other sources", id="a source that was added"),
        pytest.param(lambda root: (root / "labextension/style/base.css").unlink(), "other sources", id="a source that was removed"),
        pytest.param(lambda root: append(root / "labextension/package-lock.json"), "other sources", id="other packages"),
        pytest.param(lambda root: append(root / bundle.BUNDLE / "package.json"), "was changed", id="a bundle that something else made"),
        pytest.param(lambda root: (root / bundle.BUNDLE / "static/style.js").unlink(), "was changed", id="a bundle that lacks a file"),
        pytest.param(lambda root: (root / bundle.BUNDLE / "made-from").unlink(), "no whole bundle", id="a build that was interrupted"),
        pytest.param(lambda root: shutil.rmtree(root / bundle.BUNDLE), "no whole bundle", id="no bundle"),
    ],
)
def test_it_is_seen_that_the_bundle_is_stale(elsewhere, change, said):
    change(elsewhere)
    assert said in (bundle.problem(elsewhere) or "")


def test_what_is_only_for_those_who_work_on_it_does_not_make_the_bundle_stale(elsewhere):
    append(elsewhere / "labextension/eslint.config.mjs")
    (elsewhere / "labextension/test/new.spec.ts").touch()
    assert bundle.problem(elsewhere) is None


def test_the_bundle_is_small(record_property):
    sizes = {path.name: len(gzip.compress(path.read_bytes(), 9)) for path in sorted(STATIC.glob("*.js"))}
    whole = sum(sizes.values()) / 1024
    told = f"JupyterLab's half: {whole:.1f} KiB gzipped, of {LIMIT_KIB} at most: {sizes}"
    record_property("bundle", told)
    print(told)
    assert sizes and whole <= LIMIT_KIB, told


def test_the_bundle_shares_jupyterlabs_libraries_instead_of_bringing_them_again():
    brought = {package["name"] for package in json.loads((STATIC / "third-party-licenses.json").read_text())["packages"]}
    assert brought <= {"css-loader", "style-loader"}


def test_the_bundle_brings_the_settings():
    settings = {path.name: path.read_text() for path in (ROOT / "labextension/schema").glob("*.json")}
    brought = ROOT / bundle.BUNDLE / "schemas/jupyter-kuberay"
    assert {name: (brought / name).read_text() for name in settings} == settings


def test_the_bundle_is_built_for_use_and_says_nothing_of_the_machine():
    files = [path for path in (ROOT / bundle.BUNDLE).rglob("*") if path.is_file()]
    assert not [path.name for path in files if path.suffix == ".map"]
    text = "".join(path.read_text() for path in files)
    assert "//# sourceMappingURL" not in text and str(ROOT) not in text and str(Path.home()) + "/" not in text


def test_the_lock_file_names_no_registry_and_what_the_package_asks_for():
    lock = json.loads((ROOT / "labextension/package-lock.json").read_text())
    asked = json.loads((ROOT / "labextension/package.json").read_text())
    assert [name for name, package in lock["packages"].items() if "://" in package.get("resolved", "")] == []
    for kind in ("dependencies", "devDependencies"):
        assert lock["packages"][""][kind] == asked[kind]


def test_jupyterlabs_half_has_the_version_of_the_rest():
    assert json.loads((ROOT / "labextension/package.json").read_text())["version"] == jupyter_kuberay.__version__


def test_jupyterlab_is_told_where_a_checkout_has_the_bundle():
    (told,) = jupyter_kuberay._jupyter_labextension_paths()
    built = Path(jupyter_kuberay.__file__).parent / told["src"]
    assert json.loads((built / "package.json").read_text())["name"] == told["dest"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    """The source distribution of this checkout, unpacked."""
    assert bundle.problem() is None  # or it would be built here, and no test see that it was stale
    folder = tmp_path_factory.mktemp("packed")
    hatch(ROOT, "sdist", folder, os.environ)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    (unpacked,) = [path for path in folder.iterdir() if path.is_dir()]
    return unpacked


@pytest.fixture
def unpacked(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "unpacked"))


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine with a shell and nothing else; it asks for wheels without what npm makes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    assert shutil.which("node", path=str(folder)) is None
    return {**os.environ, "PATH": str(folder), "HATCH_JUPYTER_BUILDER_SKIP_NPM": "1", "SKIP_JUPYTER_BUILDER": "1"}


def hatch(root: Path, target: str, into: Path, environment: "os._Environ[str] | dict[str, str]") -> "subprocess.CompletedProcess[str]":
    """Build without an environment of its own, so that no index is asked."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(into)]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=280)


def shown(folder: Path) -> dict[str, str]:
    """What the wheel in ``folder`` gives JupyterLab, by name."""
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as wheel:
        assert not [name for name in wheel.namelist() if name.startswith("jupyter_kuberay/labextension")], "packed twice"
        return {name.removeprefix(SHOWN): wheel.read(name).decode() for name in wheel.namelist() if name.startswith(SHOWN)}


def test_a_source_distribution_holds_the_sources_of_both_halves_and_nothing_that_is_installed_or_made_on_the_way(packed):
    assert bundle.problem(packed) is None
    listed = subprocess.run(["git", "ls-files", "labextension"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    assert [name for name in listed if (ROOT / name).exists() and not (packed / name).exists()] == []
    assert not (packed / "labextension/node_modules").exists() and not (packed / "labextension/lib").exists()


def test_a_wheel_is_made_of_a_source_distribution_without_npm_and_its_packages(unpacked, bare, tmp_path):
    ended = hatch(unpacked, "wheel", tmp_path / "out", {**bare, "XDG_CACHE_HOME": str(tmp_path / "nothing")})
    assert ended.returncode == 0, ended.stderr
    assert not (tmp_path / "nothing").exists()
    here = {
        path.relative_to(ROOT / bundle.BUNDLE).as_posix(): path.read_text() for path in (ROOT / bundle.BUNDLE).rglob("*") if path.is_file()
    }
    assert shown(tmp_path / "out") == {**here, "install.json": (ROOT / "labextension/install.json").read_text()}


@pytest.mark.timeout(300)
def test_a_wheel_of_changed_sources_shows_the_change_on_a_machine_without_node(unpacked, bare, tmp_path):
    with (unpacked / "labextension/src/index.ts").open("a") as source:
        source.write("\nconsole.debug('changed just now');\n")
    ended = hatch(unpacked, "wheel", tmp_path / "out", bare)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "changed just now" in "".join(shown(tmp_path / "out").values())


@pytest.mark.timeout(300)
def test_sources_that_do_not_compile_make_no_wheel_although_an_older_bundle_is_there(unpacked, bare, tmp_path):
    with (unpacked / "labextension/src/index.ts").open("a") as source:
        source.write("\nexport const wrong: number = 'a word';\n")
    ended = hatch(unpacked, "wheel", tmp_path / "out", bare)
    assert ended.returncode != 0 and "npm run" in ended.stderr
    assert not list(tmp_path.glob("out/*.whl"))
