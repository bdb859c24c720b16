"""Files inside a job's entrypoint: unpacked by a shell here as they are on a cluster."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_kuberay.carried import ENTRYPOINT_LIMIT, VARIABLE, carried
from jupyter_kuberay.errors import InvalidSpec

ONE_STRING = 128 * 1024  # Linux takes less as one argument or environment variable
LIST = "import json, os; print(json.dumps({'here': sorted(os.listdir('.')), 'environment': dict(os.environ)}))"


def run(entrypoint: str, variables: dict[str, str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", entrypoint],
        env={**os.environ, **environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def noise(size: int) -> bytes:
    """What no packing makes smaller."""
    return random.Random(4711).randbytes(size)


def test_a_command_runs_among_the_files_and_its_exit_code_is_the_jobs() -> None:
    files = {"main.py": b"import own.thing, sys; print(own.thing.ANSWER); sys.exit(3)", "own/thing.py": b"ANSWER = 42"}
    done = run(*carried(files, ["python", "main.py"]))
    assert (done.stdout, done.returncode) == ("42\n", 3)


def test_quotes_line_ends_and_any_letters_come_through() -> None:
    source = "print('ä\"\\'`$HOME` \\\\ %s ☃')\n"
    entrypoint, variables = carried({"a b'c.py": source.encode()}, ["python", "a b'c.py", "x y", "$HOME"])
    assert "\n" not in entrypoint
    assert run(entrypoint, variables).stdout == "ä\"'`$HOME` \\ %s ☃\n"


@settings(max_examples=20)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?\.txt", fullmatch=True), st.binary(max_size=500), max_size=4))
def test_every_file_arrives_as_it_was(files: dict[str, bytes]) -> None:
    show = b"import base64, pathlib; print({str(p): p.read_bytes() for p in pathlib.Path('.').rglob('*.txt')})"
    done = run(*carried({**files, "show.py": show}, ["python", "show.py"]))
    assert eval(done.stdout) == files


def test_what_is_too_large_for_the_entrypoint_goes_beside_it_and_the_command_sees_nothing_of_that() -> None:
    entrypoint, variables = carried({"data": noise(140_000), "main.py": LIST.encode()}, ["python", "main.py"])
    assert len(entrypoint) <= ENTRYPOINT_LIMIT < ONE_STRING and set(variables) == {VARIABLE}
    config = {"runtime_env": {"env_vars": {**variables, "KEPT": "1"}}, "metadata": {}}
    assert len(json.dumps(config)) < ONE_STRING
    seen = json.loads(run(entrypoint, variables, RAY_JOB_CONFIG_JSON_ENV_VAR=json.dumps(config)).stdout)
    assert seen["here"] == ["data", "main.py"] and VARIABLE not in seen["environment"]
    assert json.loads(seen["environment"]["RAY_JOB_CONFIG_JSON_ENV_VAR"])["runtime_env"] == {"env_vars": {"KEPT": "1"}}


def test_what_does_not_fit_is_refused_with_the_sizes() -> None:
    with pytest.raises(InvalidSpec, match=r"has 1001 KB when it is packed; 16\d KB fit"):
        carried({"data": noise(1_000_000)}, ["python", "main.py"])


def test_half_a_megabyte_of_source_fits() -> None:
    source = Path(__file__).parents[2].joinpath("jupyter_kuberay")
    text = b"".join(path.read_bytes() for path in sorted(source.glob("*.py")))[:500_000]
    entrypoint, variables = carried({"main.py": text}, ["python", "main.py"])
    assert len(entrypoint) + len("".join(variables.values())) < 2 * ONE_STRING


@pytest.mark.parametrize("path", ["/etc/passwd", "../beside", "a/../../b"])
def test_a_file_outside_the_folder_is_refused(path: str) -> None:
    with pytest.raises(InvalidSpec, match="outside the job's folder"):
        carried({path: b""}, ["true"])


def test_tasks_everywhere_get_the_folder_as_their_working_dir() -> None:
    entrypoint, variables = carried({"main.py": LIST.encode()}, ["python", "main.py"], everywhere=True)
    seen = json.loads(run(entrypoint, variables, RAY_JOB_CONFIG_JSON_ENV_VAR='{"metadata": {}}').stdout)
    folder = json.loads(seen["environment"]["RAY_JOB_CONFIG_JSON_ENV_VAR"])["runtime_env"]["working_dir"]
    assert folder.startswith(tempfile.gettempdir())


def test_nothing_is_left_of_the_folder_also_when_the_job_is_stopped(tmp_path: Path) -> None:
    main = b"import time; print('runs', flush=True); time.sleep(60)"
    entrypoint, variables = carried({"main.py": main}, ["python", "main.py"])
    environment = {**os.environ, **variables, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(["/bin/sh", "-c", entrypoint], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == "runs\n"
    assert len(list(tmp_path.iterdir())) == 1
    os.killpg(process.pid, signal.SIGTERM)
    process.stdout.read()  # until all of them have ended
    process.wait(timeout=30)
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_began_too_late_to_be_told_is_ended_with_what_started_it(tmp_path: Path) -> None:
    """Ray signals the processes that it saw a moment before: here all but the command."""
    entrypoint, variables = carried({}, ["sh", "-c", 'kill -TERM "$PPID"; echo told; exec sleep 60'])
    environment = {**os.environ, **variables, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(["/bin/sh", "-c", entrypoint], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        process.communicate(timeout=30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 128 + signal.SIGTERM and list(tmp_path.iterdir()) == []


def test_a_command_that_is_not_there_is_told() -> None:
    done = run(*carried({}, ["nonsense-4711"]))
    assert done.returncode == 127 and "nonsense-4711 cannot be run" in done.stderr
