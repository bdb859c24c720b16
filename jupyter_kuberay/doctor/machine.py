"""Findings about this machine. Pure."""

from __future__ import annotations

from jupyter_kuberay.backends.local.answers import Answers, Disk
from jupyter_kuberay.doctor.finding import Finding, bad, broken, ok, warning
from jupyter_kuberay.errors import KubeRayError
from jupyter_kuberay.preflight import Versions

_GIB = 2**30
_ROOM = 100 * 2**20  # logs and state of a few clusters
_RAY_WANTS_FREE = 0.05  # with less of the disk free, Ray no longer spills objects


def findings(answers: Answers, kernel: Versions) -> tuple[Finding, ...]:
    found = [
        _system(answers),
        _ray(answers, kernel),
        _data(answers),
        _temporary(answers),
        _memory(answers),
        _ports(answers),
        ok("GPUs", f"There are {len(answers.gpus)}." if answers.gpus else "There is none; a profile can let Ray count simulated ones."),
        *_supervisors(answers),
    ]
    return tuple(found)


def _system(answers: Answers) -> Finding:
    if not answers.proc:
        what = "This system has no /proc, by which the local substrate knows its processes."
        return bad("system", what, "Work on Linux (WSL or a container will do), or on Kubernetes: --backend kuberay.")
    return ok("system", "It tells about its processes in /proc.")


def _ray(answers: Answers, kernel: Versions) -> Finding:
    if isinstance(answers.ray, KubeRayError):
        return broken("Ray", answers.ray)
    if kernel.ray and answers.ray != kernel.ray:
        what = f"Python imports Ray {answers.ray}, but {kernel.ray} is installed: another one is in the way."
        return bad("Ray", what, "Remove the other one; python -c 'import ray; print(ray.__file__)' tells where it is.")
    return ok("Ray", f"Ray {answers.ray} can be imported, in Python {kernel.python_minor}.")


def _data(answers: Answers) -> Finding:
    check, disk = "data directory", answers.data
    if isinstance(disk, KubeRayError):
        return broken(check, disk)
    what = f"{answers.data_dir} can be written to, and has {_amount(disk.free)} free."
    if disk.free < _ROOM:
        return bad(check, f"Only {_amount(disk.free)} are free for {answers.data_dir}.", "Make some room there, or set another data_dir.")
    return ok(check, what)


def _temporary(answers: Answers) -> Finding:
    check, disk = "temporary files", answers.temporary
    if isinstance(disk, KubeRayError):
        return broken(check, disk)
    if disk.free < _ROOM:
        return bad(check, f"Only {_amount(disk.free)} are free for {answers.temporary_dir}.", "Make some room there.")
    if disk.size and disk.free / disk.size < _RAY_WANTS_FREE:
        what = f"The disk of {answers.temporary_dir} is {_full(disk):.1f} % full: Ray spills no objects above 95 %."
        return warning(check, what, "Make some room there before working with much data.")
    return ok(check, f"{answers.temporary_dir} has {_amount(disk.free)} free.")


def _memory(answers: Answers) -> Finding:
    free, head, worker = answers.memory, answers.head_memory, answers.worker_memory
    if free < head:
        what = f"{_amount(free)} of memory are free, and a head needs {_amount(head)}: a cluster would wait."
        return bad("memory", what, "End what you do not need.")
    if free < head + worker:
        what = f"{_amount(free)} of memory are free: a head has room, and its first worker ({_amount(worker)}) would wait."
        return warning("memory", what, "End what you do not need, or ask for no workers.")
    return ok("memory", f"{_amount(free)} are free: enough for a head and {(free - head) // worker} workers.")


def _ports(answers: Answers) -> Finding:
    return (
        broken("ports", answers.ports)
        if isinstance(answers.ports, KubeRayError)
        else ok("ports", f"A free block begins at {answers.ports}.")
    )


def _supervisors(answers: Answers) -> list[Finding]:
    found = []
    if answers.orphans:
        what = f"The supervisor of {', '.join(answers.orphans)} ended unexpectedly."
        found.append(warning("supervisors", what, "Look at it, which also clears up what is left: jupyter kuberay list --all"))
    if answers.strays:
        which = ", ".join(map(str, answers.strays))
        what = f"There are supervisors of clusters that are gone (process {which})."
        found.append(warning("supervisors", what, f"They end by themselves within seconds; if not: kill {which.replace(',', '')}"))
    if not found:
        found.append(ok("supervisors", f"At work for {', '.join(answers.kept)}." if answers.kept else "None is needed: nothing is up."))
    return found


def _amount(size: int) -> str:
    return f"{size / _GIB:.1f} GiB" if size >= _GIB / 10 else f"{size / 2**20:.0f} MiB"


def _full(disk: Disk) -> float:
    return 100 * (1 - disk.free / disk.size)
