"""Files that travel inside a job: its entrypoint unpacks them on the cluster and runs a command among them.

So a job needs nothing but itself: no store, no upload, nobody who stays. What
bounds it is the operating system, which hands a process no single string of
128 KiB or more. Ray puts the whole entrypoint into one such string, and all
environment variables of the job's runtime environment together into another.
Two strings are all there is, however the files are cut up.
"""

from __future__ import annotations

import base64
import inspect
import io
import shlex
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from jupyter_kuberay.errors import InvalidSpec

VARIABLE = "JUPYTER_KUBERAY_CARRIED"  # what did not fit into the entrypoint
ENTRYPOINT_LIMIT = 125_000  # characters; the operating system's limit is 131,071
VARIABLE_LIMIT = 100_000  # what else is in the runtime environment shares that string
_START = 'import base64,zlib;exec(zlib.decompress(base64.b64decode("{}")))'


def carried(files: Mapping[str, bytes], command: Sequence[str], *, everywhere: bool = False) -> tuple[str, dict[str, str]]:
    """What a job is given so that ``files`` are there where it runs, and ``command`` runs among them.

    The command's working directory is a new folder that holds the files, and
    that is removed when the command has ended. Its exit code is the job's.

    Parameters
    ----------
    files
        By relative path, with "/" between its parts.
    command
        Its words, such as ``["python", "cell.py"]``; a first word "python" is the Python that Ray's own job runs in.
    everywhere
        Also the tasks and actors of the job find the files, on whatever node: Ray takes the folder for the job's
        working_dir. They start a second or two later for that.

    Returns
    -------
    tuple
        The entrypoint, one line for a shell; and environment variables for the job's runtime environment, of which
        neither the command nor its tasks see anything.

    Raises
    ------
    InvalidSpec
        The files do not fit: packed, about 160 KB do, which is some 700 KB of source or text. Or a path leads elsewhere.
    """
    for path in files:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise InvalidSpec(f"The file {path!r} lies outside the job's folder.", "Name files relative to it.")
    content = packed(files)
    data = base64.b64encode(content).decode()
    # Ray stops the processes that it sees: a shell that is about to start another one leaves that one running.
    start = f"exec python -ISc {shlex.quote(_START.format(_bootstrap()))}"
    rest = shlex.join(["everywhere" if everywhere else "here", *command])
    room = ENTRYPOINT_LIMIT - len(start) - len(rest) - 2
    if len(data) > max(0, room) + VARIABLE_LIMIT:
        fits = (max(0, room) + VARIABLE_LIMIT) * 3 // 4
        raise InvalidSpec(
            f"What the job carries has {len(content) // 1000} KB when it is packed; {fits // 1000} KB fit.",
            "Keep data and pictures out of it: put them where the cluster can read them, and give the job their address.",
        )
    if len(data) <= room:
        return f"{start} {data} {rest}", {}
    within, beside = data[: max(0, room)], data[max(0, room) :]
    return f"{start} {shlex.quote(within)} {rest}", {VARIABLE: beside}


def packed(files: Mapping[str, bytes]) -> bytes:
    """One archive, the same for the same files. Of sources together xz makes half of what a zip makes of each."""
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w:xz", preset=9) as archive:
            for path in sorted(files):
                member = tarfile.TarInfo(path)
                member.size, member.mode = len(files[path]), 0o644
                archive.addfile(member, io.BytesIO(files[path]))
        return file.getvalue()


def _bootstrap() -> str:
    """The program that unpacks, as text without a quotation mark or a line end."""
    text = f"{inspect.getsource(_unpack_and_run)}\n_unpack_and_run({VARIABLE!r})\n"
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def _unpack_and_run(variable: str) -> None:
    # Runs on the cluster as text of its own: standard library alone, all imports within.
    import base64
    import io
    import json
    import os
    import shutil
    import signal
    import subprocess
    import sys
    import tarfile
    import tempfile
    import time

    within, where, *command = sys.argv[1:]
    content = base64.b64decode(within + os.environ.pop(variable, ""))
    folder = tempfile.mkdtemp(prefix="jupyter-kuberay-job-")
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:xz") as archive:
            archive.extractall(folder)
        # Ray's own variable: the job's runtime environment, which would go along with each of its tasks.
        if config := json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}"):
            environment = config.setdefault("runtime_env", {})
            (environment.get("env_vars") or {}).pop(variable, None)
            if where == "everywhere":
                environment.setdefault("working_dir", folder)
            os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps(config)
        if command[0] == "python":
            command[0] = sys.executable
        # Whoever stops the job tells all processes that it has seen; the folder has to outlive the command.
        stopped: list[int] = []
        started: list[tuple[subprocess.Popen[bytes], float]] = []

        def stop(number: int, _: object) -> None:
            stopped.append(number)
            for process, began in started:
                if time.monotonic() - began < 3:  # it may be too new to have been seen
                    process.send_signal(number)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        try:
            with subprocess.Popen(command, cwd=folder) as process:
                started.append((process, time.monotonic()))
                if stopped:
                    process.send_signal(stopped[0])
                code = process.wait()
        except OSError as error:
            sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}.\n")
            code = 127  # as a shell has it
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(code if code >= 0 else 128 - code)
