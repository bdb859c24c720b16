"""A function that runs whole on the cluster: what a person sees, gets, and can end."""

import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import psutil
import pytest

from jupyter_kuberay.attach import Attachment
from jupyter_kuberay.errors import Failed, TimedOut
from jupyter_kuberay.modules import MissingPackages
from jupyter_kuberay.run import run, submit

pytestmark = pytest.mark.timeout(300)  # the first one waits for the cluster

SOON = 15.0  # seconds; most are one process's start on a busy machine


def test_a_function_gives_its_result(attachment: Attachment):
    assert run(attachment, pow, 2, 10) == 1024
    assert run(attachment, lambda a, *, b: {"sum": a + b}, 1, b=2) == {"sum": 3}


def test_it_runs_on_the_cluster_and_not_here(attachment: Attachment):
    assert run(attachment, os.getpid) != os.getpid()


def test_what_it_prints_appears_here_as_it_was_printed(attachment: Attachment, capsys: pytest.CaptureFixture[str]):
    def speaks() -> None:
        print("50 %", end="\r")
        print("done", "ünicode", sep=" 🎉 ")
        print("careful", file=sys.stderr)

    run(attachment, speaks)
    said = capsys.readouterr()
    assert said.out == "50 %\rdone 🎉 ünicode\n"
    assert "careful\n" in said.err


def test_what_it_prints_appears_while_it_runs(attachment: Attachment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    signal_file = tmp_path / "go on"
    seen = threading.Event()

    class Screen:
        def write(self, text: str) -> None:
            if "halfway" in text:
                signal_file.touch()
                seen.set()

        def flush(self) -> None: ...

    def waits_to_be_seen() -> str:
        print("halfway")
        until = time.monotonic() + 60
        while not signal_file.exists() and time.monotonic() < until:
            time.sleep(0.01)
        return "was seen" if signal_file.exists() else "was not seen"

    monkeypatch.setattr(sys, "stdout", Screen())
    assert run(attachment, waits_to_be_seen) == "was seen"


def test_its_error_is_raised_here_with_the_clusters_traceback(attachment: Attachment):
    def fails() -> None:
        {}["no such key"]

    with pytest.raises(KeyError, match="no such key") as caught:
        run(attachment, fails)
    assert type(caught.value) is KeyError
    assert "in fails" in caught.value.__notes__[0]
    assert "in call" not in caught.value.__notes__[0]


def test_the_error_of_a_nested_task_is_raised_as_its_own(attachment: Attachment):
    def nested() -> None:
        import ray

        ray.get(ray.remote(lambda: 1 / 0).remote())

    with pytest.raises(ZeroDivisionError) as caught:
        run(attachment, nested)
    assert type(caught.value) is ZeroDivisionError


def test_sys_exit_does_not_end_the_kernel(attachment: Attachment):
    with pytest.raises(Failed, match="SystemExit: 3"):
        run(attachment, sys.exit, 3)


def test_a_process_that_dies_is_named_as_such(attachment: Attachment):
    with pytest.raises(Failed, match="process that ran the function died"):
        run(attachment, os._exit, 1)


def test_a_result_that_cannot_travel_is_named_by_its_type(attachment: Attachment):
    with pytest.raises(TypeError, match=r"returned \(lock\) cannot leave the cluster"):
        run(attachment, threading.Lock)


def test_environment_variables_reach_it_and_what_it_starts(attachment: Attachment):
    def asks() -> list[str]:
        import ray

        ask = ray.remote(lambda: os.environ["COLOUR"])
        return [os.environ["COLOUR"], ray.get(ask.remote())]

    assert run(attachment, asks, env={"COLOUR": "blue"}) == ["blue", "blue"]


def test_rays_references_travel_in_both_directions(attachment: Attachment):
    import ray

    [answer] = run(attachment, lambda number: [ray.put(ray.get(number) + 1)], ray.put(41))
    assert ray.get(answer) == 42


def test_ray_data_works_inside_and_its_progress_is_no_noise(attachment: Attachment, capsys: pytest.CaptureFixture[str]):
    def doubled() -> int:
        import ray

        return sum(row["id"] for row in ray.data.range(10).map(lambda row: {"id": 2 * row["id"]}).take_all())

    assert run(attachment, doubled) == 90
    assert "magic_token" not in capsys.readouterr().out


@pytest.fixture
def beside_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


def test_the_persons_own_modules_go_along_also_to_nested_tasks(attachment: Attachment, beside_the_notebook: Path):
    written(
        beside_the_notebook / "pets" / "__init__.py", "class TooLoud(Exception):\n    def __init__(self, who, how): super().__init__(who)\n"
    )
    written(beside_the_notebook / "pets" / "dog.py", "from . import TooLoud\ndef bark(): return 'woof'\n")
    written(
        beside_the_notebook / "zoo.py",
        """
        import ray
        from pets import TooLoud
        from pets.dog import bark

        def barks():
            return ray.get(ray.remote(bark).remote())

        def complains():
            raise TooLoud("dog", 11)
        """,
    )
    import zoo

    assert run(attachment, zoo.barks) == "woof"
    with pytest.raises(zoo.TooLoud, match="dog"):
        run(attachment, zoo.complains)


def test_a_module_that_changed_goes_along_as_it_is_now(attachment: Attachment, beside_the_notebook: Path):
    written(beside_the_notebook / "version.py", "def number(): return 1\n")
    import version

    assert run(attachment, version.number) == 1
    written(beside_the_notebook / "version.py", "def number(): return 2\n")
    assert run(attachment, version.number) == 2


def test_a_package_that_the_cluster_lacks_is_named_before_anything_runs(attachment: Attachment, beside_the_notebook: Path, tmp_path: Path):
    written(
        beside_the_notebook / "needy.py",
        f"""
        from pathlib import Path

        def works():
            Path({str(tmp_path / "ran")!r}).touch()
            import no_such_package_anywhere
        """,
    )
    import needy

    with pytest.raises(MissingPackages, match="lacks no_such_package_anywhere") as caught:
        run(attachment, needy.works)
    assert caught.value.names == ("no_such_package_anywhere",)
    assert "image" in caught.value.hint
    assert not (tmp_path / "ran").exists()


def test_an_attachment_tells_which_packages_its_cluster_lacks(attachment: Attachment):
    assert attachment.missing("pydantic", "no_such_package_anywhere") == ["no_such_package_anywhere"]


def forever_in_a_nested_task() -> None:
    import ray

    @ray.remote
    def child() -> None:
        mark = Path(os.environ["MARK"])
        try:
            mark.write_text(str(os.getpid()))
            time.sleep(1000)
        finally:
            mark.with_suffix(".ended").touch()

    ray.get(child.remote())


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "child"


def child_of(mark: Path) -> int:
    wait_until(lambda: mark.exists() and mark.read_text() != "")
    return int(mark.read_text())


def has_ended(mark: Path) -> bool:
    return mark.with_suffix(".ended").exists() or not psutil.pid_exists(child_of(mark))


def wait_until(holds) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_cancelling_ends_it_and_the_tasks_that_it_started(attachment: Attachment, mark: Path):
    running = submit(attachment, forever_in_a_nested_task, env={"MARK": str(mark)})
    child_of(mark)
    assert not has_ended(mark)
    assert not running.done()
    running.cancel()
    with pytest.raises(CancelledError):
        running.result(timeout=SOON)
    assert running.done()
    wait_until(lambda: has_ended(mark))


def test_ctrl_c_ends_it_on_the_cluster_too(attachment: Attachment, mark: Path):
    def interrupt() -> None:
        child_of(mark)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run(attachment, forever_in_a_nested_task, env={"MARK": str(mark)})
    wait_until(lambda: has_ended(mark))


def test_one_that_ignores_its_cancelling_is_ended_by_force(attachment: Attachment, mark: Path):
    def stubborn() -> None:
        while True:
            try:
                mark.touch()
                time.sleep(1000)
            except BaseException:
                pass

    running = submit(attachment, stubborn)
    wait_until(mark.exists)
    running.cancel()
    running.settle(seconds=0.1)
    with pytest.raises(CancelledError):
        running.result(timeout=SOON)


def test_waiting_for_a_result_can_be_limited(attachment: Attachment):
    running = submit(attachment, time.sleep, 1000)
    with pytest.raises(TimedOut, match="goes on"):
        running.result(timeout=0.1)
    running.cancel()


def test_two_functions_run_side_by_side_and_their_output_is_told_apart(attachment: Attachment, capsys: pytest.CaptureFixture[str]):
    first, second = (submit(attachment, print, word) for word in ("first", "second"))
    assert second.result() is None
    assert capsys.readouterr().out == "second\n"
    assert first.result() is None
    assert capsys.readouterr().out == "first\n"
