"""The small parts that the local substrate is made of. Nothing of Ray runs here."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import pytest

from jupyter_kuberay.backends.local import LocalBackend, gpus, leases, ports, supervision, watching
from jupyter_kuberay.backends.local.bell import Bell
from jupyter_kuberay.backends.local.clients import Reserved, reserving
from jupyter_kuberay.backends.local.dashboard import forking
from jupyter_kuberay.backends.local.files import is_held, read_json, try_lock, write_json
from jupyter_kuberay.backends.local.nodes import LOOPBACK
from jupyter_kuberay.backends.local.processes import MARK, Birth, boot_id, end_now, marked, send
from jupyter_kuberay.backends.local.stopped import end_left, left_of
from jupyter_kuberay.backends.local.store import Store
from jupyter_kuberay.backends.local.supervision import LOCK, RECORD
from jupyter_kuberay.backends.patches import apply_patch
from jupyter_kuberay.errors import Conflict, InvalidSpec, NotFound, Refused
from jupyter_kuberay.observation import ChangeType, Kind
from tests.contract.resources import cluster

SLEEP = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(300)"]


@pytest.fixture
def store(data_dir: Path) -> Store:
    return Store(data_dir)


# --- patches ---


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ([{"op": "add", "path": "/a/0", "value": 9}], {"a": [9, 1, 2], "b": {"c/d": 3}}),
        ([{"op": "add", "path": "/a/-", "value": 9}], {"a": [1, 2, 9], "b": {"c/d": 3}}),
        ([{"op": "replace", "path": "/b/c~1d", "value": 9}], {"a": [1, 2], "b": {"c/d": 9}}),
        ([{"op": "remove", "path": "/a/1"}], {"a": [1], "b": {"c/d": 3}}),
        ([{"op": "test", "path": "/a", "value": [1, 2]}], {"a": [1, 2], "b": {"c/d": 3}}),
        ([{"op": "copy", "from": "/a/0", "path": "/c"}], {"a": [1, 2], "b": {"c/d": 3}, "c": 1}),
        ([{"op": "move", "from": "/b", "path": "/e"}], {"a": [1, 2], "e": {"c/d": 3}}),
        ([{"op": "replace", "path": "", "value": {}}], {}),
    ],
)
def test_a_patch_does_what_rfc_6902_says(patch, expected):
    document = {"a": [1, 2], "b": {"c/d": 3}}
    assert apply_patch(document, patch) == expected
    assert document == {"a": [1, 2], "b": {"c/d": 3}}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/x", "value": 1},
        {"op": "remove", "path": "/a/2"},
        {"op": "add", "path": "/a/3", "value": 1},
        {"op": "add", "path": "/a/-1", "value": 1},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/x"},
        {"op": "replace", "path": "/a/-", "value": 1},
        {"op": "invent", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/b/c", "value": 1},
    ],
)
def test_a_patch_that_does_not_fit_is_refused(operation):
    with pytest.raises(InvalidSpec):
        apply_patch({"a": [1, 2], "b": 3}, [operation])


def test_a_failed_test_names_both_values():
    with pytest.raises(Conflict, match="2 and not 1"):
        apply_patch({"a": 2}, [{"op": "test", "path": "/a", "value": 1}])


# --- the store ---


def test_secrets_and_folders_are_the_users_alone(store: Store):
    store.create(cluster("mine").resource, token="secret")
    folder = store.folder("RayCluster", "mine")
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE((folder / "logs").stat().st_mode) == 0o700
    assert "secret" not in (folder / "resource.json").read_text()


def test_without_a_secret_a_token_is_made(store: Store):
    for name in ("one", "two"):
        store.create(cluster(name).resource)
    assert len(store.token("RayCluster", "one")) == 64 != store.token("RayCluster", "two")


@pytest.mark.asyncio
@pytest.mark.parametrize("content", [{"stringData": {"auth_token": "of-ours"}}, {"data": {"auth_token": "b2Ytb3Vycw=="}}])
async def test_the_token_of_a_secret_that_comes_along_is_the_clusters(backend: LocalBackend, content: dict[str, dict[str, str]]):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine"}, **content}
    await backend.create(cluster("mine", suspend=True).model_copy(update={"secret": secret}))
    assert backend.store.token("RayCluster", "mine") == "of-ours"


@pytest.mark.parametrize("late", [False, True])
def test_what_is_deleted_while_its_supervisor_starts_is_not_told_as_a_failure(store: Store, monkeypatch: pytest.MonkeyPatch, late: bool):
    store.create(cluster("mine").resource)
    run = subprocess.run

    def after_it_went(*command: Any, **more: Any) -> Any:
        store.remove("RayCluster", "mine")
        return run(*command, **more)

    if late:
        monkeypatch.setattr(subprocess, "run", after_it_went)
    else:
        store.remove("RayCluster", "mine")
    supervision.start(store, ("RayCluster", "mine"))
    assert store.names("RayCluster") == []


def test_config_maps_lie_beside_the_resource(store: Store):
    store.create(cluster("mine").resource, config_maps={"code": {"loader.py": b"x = 1"}})
    assert (store.folder("RayCluster", "mine") / "configmaps/code/loader.py").read_bytes() == b"x = 1"


@pytest.mark.parametrize("key", ["../../evil", "..", "a/b", ""])
def test_a_config_map_cannot_write_elsewhere(store: Store, key: str):
    with pytest.raises(InvalidSpec):
        store.create(cluster("mine").resource, config_maps={"code": {key: b""}})
    assert store.names("RayCluster") == [] and not list(store.data_dir.rglob("evil"))


@pytest.mark.parametrize("name", ["a/b", "../x", "..", ".hidden", "A", "1a", "a" * 54, "", "a\n"])
def test_a_name_that_would_leave_its_folder_or_kuberay_refuses_is_refused(store: Store, name: str):
    with pytest.raises(InvalidSpec):
        store.read("RayCluster", name)
    with pytest.raises(InvalidSpec):
        store.create(cluster(name).resource)
    assert store.names("RayCluster") == []


def test_a_read_only_data_directory_is_named_with_what_to_do(tmp_path: Path):
    if os.getuid() == 0:
        closed = Path("/sys/kernel/jupyter-kuberay")  # root may write anywhere but there
    else:
        (tmp_path / "closed").mkdir(mode=0o500)
        closed = tmp_path / "closed/data"
    with pytest.raises(Refused) as refusal:
        Store(closed).create(cluster("mine").resource)
    assert str(closed) in refusal.value.message and "data directory" in refusal.value.hint


def test_a_full_disk_refuses_a_creation_and_leaves_nothing_half_written(store: Store):
    code = f"""
import resource
from pathlib import Path
from typing import Any
from jupyter_kuberay.backends.local.store import Store
from jupyter_kuberay.errors import Refused
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    Store(Path({str(store.data_dir)!r})).create({cluster("mine").resource!r})
except Refused as refusal:
    print(refusal)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "is full" in done.stdout and "room" in done.stdout, done
    assert list(store.data_dir.rglob("*")) == [store.data_dir / "rayclusters"]


def test_a_full_disk_leaves_the_last_status_as_it_was(tmp_path: Path):
    path = tmp_path / "status.json"
    write_json(path, {"state": "ready"})
    code = f"""
import resource
from pathlib import Path
from typing import Any
from jupyter_kuberay.backends.local.files import write_json
resource.setrlimit(resource.RLIMIT_FSIZE, (5, 5))
write_json(Path({str(path)!r}), {{"state": "failed" * 100}})
"""
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL, check=False).returncode == 1
    assert read_json(path) == {"state": "ready"} and list(tmp_path.iterdir()) == [path]


def test_what_was_seen_has_its_own_version_and_keeps_the_newest_events(store: Store):
    store.create(cluster("mine").resource)
    assert store.write_status("RayCluster", "mine", {"state": "ready"}, [], [{"reason": str(number)} for number in range(120)])
    assert not store.write_status("RayCluster", "mine", {"state": "ready"})
    kept = store.read("RayCluster", "mine")
    assert kept.events[0]["reason"] == "119" and len(kept.events) == 100
    assert kept.whole["metadata"]["resourceVersion"] == "2" and kept.whole["status"] == {"state": "ready"}


def test_a_patch_of_the_status_changes_nothing(store: Store):
    store.create(cluster("mine").resource)
    store.write_status("RayCluster", "mine", {"state": "ready"})
    store.patch("RayCluster", "mine", [{"op": "replace", "path": "/status/state", "value": "lies"}])
    assert store.read("RayCluster", "mine").status == {"state": "ready"}


def test_a_half_written_file_is_no_resource_and_harms_no_other(store: Store):
    store.create(cluster("good").resource)
    store.create(cluster("broken").resource)
    (store.folder("RayCluster", "broken") / "resource.json").write_text('{"kind": "Ray')
    assert [kept.name for kept in store.all("RayCluster")] == ["good"]
    with pytest.raises(NotFound):
        store.read("RayCluster", "broken")


# --- the bell ---


def test_every_listener_hears_a_ring_and_leaves_nothing_behind(tmp_path: Path):
    bell = Bell(tmp_path)
    listeners = [bell.listen() for _ in range(3)]
    Bell(tmp_path).ring()
    assert len(select.select(listeners, [], [], 5)[0]) == 3
    assert all(listener.drain() for listener in listeners) and not any(listener.drain() for listener in listeners)
    for listener in listeners:
        listener.close()
    bell.leave()
    assert not bell.folder.exists()


def test_a_listener_that_died_is_forgotten_and_a_deaf_one_waits_for_nobody(tmp_path: Path):
    bell = Bell(tmp_path)
    code = f"""
import os
from pathlib import Path
from typing import Any
from jupyter_kuberay.backends.local.bell import Bell
Bell(Path({str(tmp_path)!r})).listen()
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    listener = bell.listen()
    assert len(list((bell.folder / "bell").iterdir())) == 2
    for _ in range(2000):  # more than a queue holds
        bell.ring()
    assert len(list((bell.folder / "bell").iterdir())) == 1
    listener.close()
    bell.leave()


def test_a_folder_that_others_can_enter_is_not_trusted(tmp_path: Path):
    bell = Bell(tmp_path)
    bell.folder.mkdir(mode=0o777)
    bell.folder.chmod(0o777)
    with pytest.raises(Refused, match=str(bell.folder)):
        bell.listen()
    bell.folder.rmdir()


# --- leases and ports ---


def test_a_busy_port_leads_to_another_block(tmp_path: Path):
    first = ports.claim(folder=tmp_path / "leases")
    wanted, last = first.first, first["dashboard-metrics"]
    first.release()
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", last))
        busy.listen()
        second = ports.claim(wanted, folder=tmp_path / "leases")
        assert second.first != wanted
        second.release()
    third = ports.claim(wanted, folder=tmp_path / "leases")
    assert third.first == wanted, "the same ports are taken again when they are free"
    third.release()


def test_blocks_lie_below_the_ephemeral_ports_and_out_of_ray_clients_way(tmp_path: Path):
    for _ in range(50):
        block = ports.claim(folder=tmp_path / "leases")
        numbers = [block[name] for name in ports.NAMES]
        assert len(set(numbers)) == len(numbers) and min(numbers) >= 24000 and max(numbers) < 32768
        block.release()


def test_ten_starts_at_once_never_share_a_port(tmp_path: Path):
    code = f"""
import sys
from pathlib import Path
from typing import Any
from jupyter_kuberay.backends.local.ports import claim
print(claim(24000, folder=Path({str(tmp_path / "leases")!r})).first, flush=True)
sys.stdin.read()
"""
    with ThreadPool(10) as pool:
        started = pool.map(lambda _: subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True), range(10))
    blocks = [process.stdout.readline() for process in started]
    for process in started:
        process.communicate("")
    assert len(set(blocks)) == 10, blocks
    block = ports.claim(24000, folder=tmp_path / "leases")
    assert block.first == 24000 or not ports._can_be_bound(24000), "what a process held is free when it has ended"
    block.release()


def test_a_lease_ends_with_its_process_even_by_kill_9(tmp_path: Path):
    code = f"""
import os
from pathlib import Path
from typing import Any
from jupyter_kuberay.backends.local.leases import hold
assert hold("thing", Path({str(tmp_path)!r}))
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    lease = leases.hold("thing", tmp_path)
    assert lease is not None and leases.hold("thing", tmp_path) is None
    lease.release()


def test_whether_a_lock_is_held_is_the_kernels_word(tmp_path: Path):
    path = tmp_path / "lock"
    assert not is_held(path)
    descriptor = try_lock(path)
    assert descriptor is not None and is_held(path) and try_lock(path) is None
    os.close(descriptor)
    assert not is_held(path)


# --- GPUs ---


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose nvidia-smi knows two GPUs."""
    tool = tmp_path / "bin/nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho GPU-aaaa-1\necho GPU-bbbb-2\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus.listed.cache_clear()
    yield
    gpus.listed.cache_clear()


@pytest.mark.usefixtures("two_gpus")
def test_no_gpu_is_given_to_two_nodes(tmp_path: Path):
    one, two = gpus.take(1, tmp_path), gpus.take(1, tmp_path)
    assert one and two and [*one, *two] == ["GPU-aaaa-1", "GPU-bbbb-2"]
    assert gpus.take(1, tmp_path) is None
    for lease in one.values():
        lease.release()
    assert gpus.take(2, tmp_path) is None, "all or nothing"
    assert [*(gpus.take(1, tmp_path) or {})] == ["GPU-aaaa-1"]


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("1", ["GPU-bbbb-2"]),
        ("GPU-aaaa", ["GPU-aaaa-1"]),
        ("", []),
        ("-1", []),
        ("0,1", ["GPU-aaaa-1", "GPU-bbbb-2"]),
        ("0,7,1", ["GPU-aaaa-1"]),
    ],
)
def test_only_gpus_that_the_user_was_given_are_used(visible: str, expected: list[str]):
    assert list(gpus.given({"CUDA_VISIBLE_DEVICES": visible})) == expected


# --- processes ---


def eventually(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start(mark: str = "") -> subprocess.Popen[bytes]:
    environment = {key: value for key, value in os.environ.items() if key != MARK} | ({MARK: mark} if mark else {})
    process = subprocess.Popen(SLEEP, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.read(1) == b"1"
    return process


def test_ours_is_what_carries_the_mark_and_nothing_else_is_ever_signalled():
    mine, same_resource, stranger, similar = start("uid-1/head"), start("uid-1/worker"), start(), start("uid-11/head")
    try:
        assert marked("uid-1/head") == [mine.pid] and set(marked("uid-1")) == {mine.pid, same_resource.pid}
        assert not send(stranger.pid, "uid-1", signal.SIGKILL) and not send(similar.pid, "uid-1", signal.SIGKILL)
        assert end_now("uid-1") == 2 and mine.wait(5) == same_resource.wait(5) == -signal.SIGKILL
        assert stranger.poll() is None and similar.poll() is None
    finally:
        for process in (mine, same_resource, stranger, similar):
            process.kill()
            process.wait()


def test_what_lost_the_mark_is_ended_with_the_session_that_one_of_ours_began():
    """As in the moment in which a process becomes another program."""
    code = "import os, subprocess, sys; child = subprocess.Popen(['sleep', '60'], env={}); print(child.pid, flush=True); child.wait()"
    environment = {**os.environ, MARK: "uid-2/head"}
    outsider = start()
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as leader:
        assert leader.stdout is not None
        child = Birth.of(int(leader.stdout.readline()))
        assert child.alive and child.pid not in marked("uid-2")
        assert end_now("uid-2") == 2 and not child.alive
    assert outsider.poll() is None
    outsider.kill()
    outsider.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="threads of a process are listed in /proc")
@pytest.mark.asyncio
@pytest.mark.parametrize("deaf", [False, True])
async def test_what_a_stopped_job_left_is_ended_and_what_began_a_session_of_its_own_is_not(deaf: bool):
    """Ray ends the shell that leads a job's session; here it ends by itself."""
    config = {"metadata": {"job_submission_id": "job-1"}}
    environment = {**os.environ, MARK: "uid-3/head", "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(config)}
    code = f"import signal, time; signal.signal(signal.SIGTERM, {'signal.SIG_IGN' if deaf else 'signal.SIG_DFL'}); print(1); time.sleep(60)"
    python = f'"{sys.executable}" -uc "{code}"'
    with subprocess.Popen(
        ["sh", "-c", f"{python} & setsid {python} & {python} > /dev/null & echo $!"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as shell:
        assert shell.stdout is not None
        said = sorted(shell.stdout.readline() for _ in range(3))
        assert said[:2] == ["1\n", "1\n"] and shell.wait(timeout=30) == 0
        try:
            assert set(left_of("uid-3", "job-1")) == {pid for pid in marked("uid-3") if os.getsid(pid) == shell.pid}
            assert int(said[2]) in left_of("uid-3", "job-1")
            assert not left_of("uid-3", "job-10") and not left_of("uid-33", "job-1")
            await end_left("uid-3", "job-1", grace=0.5)
            (apart,) = marked("uid-3")
            assert os.getsid(apart) == apart
        finally:
            end_now("uid-3")


def test_a_process_is_not_gone_before_its_last_thread_is():
    """A killed one looks like a zombie as soon as its first thread has ended. Its others may still hold a lock, for tenths of a second."""
    code = """
import ctypes, os, sys, threading
def last():
    os.read(0, 1)
    os._exit(0)
threading.Thread(target=last).start()
print(1, flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None and process.stdout.readline() == b"1\n"
        birth = Birth.of(process.pid)
        eventually(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
        assert birth.alive
        process.stdin.write(b"1")
        process.stdin.flush()
        eventually(lambda: not birth.alive)
        assert process.poll() == 0


def test_a_later_process_with_the_same_id_is_another_one():
    process = start()
    birth = Birth.of(process.pid)
    assert birth.alive and Birth.read(json.loads(json.dumps(birth.json()))) == birth
    assert not Birth(birth.pid, birth.created + "0", birth.boot).alive, "began at another time"
    assert not Birth(birth.pid, birth.created, "another boot").alive, "before the machine was started again"
    process.kill()
    process.wait()
    assert not birth.alive and boot_id() == birth.boot


# --- what makes Ray start faster ---


def test_checks_of_uris_are_the_same_with_and_without_what_delays_their_grammar():
    import jupyter_kuberay.backends.local as package

    code = """
import sys, jsonschema
delayed = "lark" not in sys.modules
checker = jsonschema.FormatChecker()
print(delayed, [checker.conforms(text, "iri") for text in ("http://example.org/ü", "no iri", "")])
import rfc3987_syntax
print(rfc3987_syntax.__file__.endswith("rfc3987_syntax/__init__.py"))
"""
    pytest.importorskip("rfc3987_syntax")
    shim = str(Path(package.__file__).with_name("shim"))
    said = {}
    for path in ("", shim):
        environment = {**os.environ, "PYTHONPATH": path}
        said[path] = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    assert said[shim].startswith("True [True, False") and said[""].startswith("False [True, False")
    assert said[shim].partition(" ")[2] == said[""].partition(" ")[2]


def test_where_the_grammar_is_not_installed_it_stays_so():
    import jupyter_kuberay.backends.local as package

    shim = Path(package.__file__).with_name("shim")
    code = f"import sys; sys.path[:] = [{str(shim)!r}, *[p for p in sys.path if 'site-packages' not in p]]; import rfc3987_syntax"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "ImportError: No module named 'rfc3987_syntax'" in done.stderr


def test_in_a_kernel_import_ray_does_not_load_the_grammar_and_who_uses_it_gets_it():
    pytest.importorskip("rfc3987_syntax")
    code = """
import sys
from jupyter_kuberay import grammar
before = sys.path[:]
grammar.delay()
same = sys.path == before
import ray
loaded = any(name.startswith("lark") for name in sys.modules)
import jsonschema
checked = jsonschema.FormatChecker().conforms("http://a/b", "iri"), jsonschema.FormatChecker().conforms("http:// a", "iri")
print(loaded, same, *checked, any(name.startswith("lark") for name in sys.modules))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "False True True False True\n"


def test_rays_dashboard_is_made_one_that_forks_and_what_is_none_stays():
    plain = ["python", "/site/ray/dashboard/dashboard.py", "--port=1"]
    assert forking(plain) == ["python", "-P", "-m", "jupyter_kuberay.backends.local.dashboard", *plain[1:]]
    for other in (["python", "-m", "memray", "run", *plain[1:]], ["python", "-u", "/site/ray/_private/log_monitor.py"], ["dashboard"]):
        assert forking(other) == other


def test_rays_client_server_is_made_one_that_reserves_and_what_is_none_stays():
    plain = ["python", "/site/ray/_private/workers/setup_worker.py", "-m", "ray.util.client.server", "--port=1", "--mode=proxy"]
    assert reserving(plain) == ["python", "-P", "-m", "jupyter_kuberay.backends.local.clients", "--port=1", "--mode=proxy"]
    for other in (["python", "-m", "memray", "ray.util.client.server"], ["python", "-u", "/site/ray/log_monitor.py"], ["server"]):
        assert reserving(other) == other


def test_a_reserved_port_is_given_to_nobody_else_and_a_grpc_server_listens_at_it():
    import grpc

    ours, theirs = Reserved(), Reserved()
    first = ours.another(socket.AF_INET, [])
    ports = {first, *(kept.another(socket.AF_INET, [first]) for kept in (ours, theirs) for _ in range(5))}
    assert len(ports) == 11
    server = grpc.server(ThreadPoolExecutor(1))
    assert server.add_insecure_port(f"127.0.0.1:{first}") == first
    server.start()
    with socket.create_connection(("127.0.0.1", first), timeout=5), socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("", first))
    server.stop(0).wait()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("", first))  # while its client may come again
    ours.another(socket.AF_INET, [])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("", first))


def test_what_the_dashboard_forks_has_imported_all_of_its_modules():
    code = """
import sys
from jupyter_kuberay.backends.local import dashboard
import ray.dashboard
from pathlib import Path
from typing import Any
names = dashboard._modules(Path(ray.dashboard.__file__).parent)
for name in names: __import__(name)
from ray.dashboard import utils
from ray.dashboard.subprocesses.module import SubprocessModule
before = set(sys.modules)
found = utils.get_all_modules(SubprocessModule)
print(len(found) > 5, sorted({each.__module__ for each in found} - before), len(list(Path("/proc/self/task").iterdir())))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "True [] 1\n", "and started no thread, which a fork would lose"


def test_the_supervisor_loads_nothing_heavy_before_ray_starts():
    heavy = {"pydantic", "ray", "aiohttp", "yaml", "traitlets", "psutil"}
    code = f"import sys, jupyter_kuberay.backends.local.keeping; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_ray_is_told_an_address_that_no_network_can_take_away():
    assert socket.gethostbyname(LOOPBACK).startswith("127.")


# --- watching ---


def test_that_something_is_gone_is_told_when_its_supervisor_has_ended_also_if_it_goes_while_somebody_looks(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(supervisor: subprocess.Popen[bytes], all_names: Callable[[str], list[str]]) -> None:
        async with asyncio.timeout(20), aclosing(watching.watch(store, Kind.CLUSTER, {})) as changes:  # type: ignore[type-var]
            assert [(await anext(changes)).type, (await anext(changes)).type] == [ChangeType.ADDED, ChangeType.SYNCED]

            def names(kind: str) -> list[str]:
                found = all_names(kind)
                store.remove("RayCluster", "mine")
                return found

            monkeypatch.setattr(store, "names", names)
            store.bell.ring()
            last = asyncio.ensure_future(anext(changes))
            done, _ = await asyncio.wait({last}, timeout=0.5)
            assert not done, "its supervisor goes on"
            supervisor.kill()
            supervisor.wait()
            assert (await last).type is ChangeType.DELETED

    store.create(cluster("mine").resource)
    folder = store.folder("RayCluster", "mine")
    lock = try_lock(folder / LOCK)
    assert lock is not None
    with subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL) as supervisor:
        write_json(folder / RECORD, Birth.of(supervisor.pid).json())
        try:
            asyncio.run(told(supervisor, store.names))
        finally:
            supervisor.kill()
            os.close(lock)
