"""What runs on the cluster for a function: its output on its way, its error, its values; here without a cluster."""

import ast
import asyncio
import concurrent.futures
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from jupyter_kuberay import remote
from jupyter_kuberay.remote import Output, call, pack, unpack


class InThisProcess:
    """An `Output` whose ``write.remote`` is called as Ray would, but here."""

    def __init__(self) -> None:
        self.pieces: list[remote.Piece] = []
        self.ended = False
        self.write = self

    def remote(self, run: str, pieces: list[remote.Piece], last: bool) -> Any:
        self.pieces += pieces
        self.ended = last
        return self

    def future(self) -> concurrent.futures.Future[None]:
        done: concurrent.futures.Future[None] = concurrent.futures.Future()
        done.set_result(None)
        return done

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.pieces)


class Broken(InThisProcess):
    def remote(self, *_: object) -> Any:
        raise ConnectionError


def called(function, *args, output=None, **kwargs):
    kind, packed, references = call(*pack((function, args, kwargs)), output or InThisProcess(), "run")
    return kind, unpack(packed, references)


class Picky(Exception):
    """An error whose class takes other arguments than it hands on, as many do."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


def test_a_function_is_called_with_its_arguments():
    assert called(divmod, 7, 2) == ("value", (3, 1))


def test_a_coroutine_function_is_awaited():
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert called(answer) == ("value", 42)


def test_what_is_printed_is_sent_whole_and_in_order_before_the_answer():
    output = InThisProcess()

    def speaks() -> None:
        for number in range(1000):
            print(number, file=sys.stderr if number % 2 else sys.stdout)

    before = sys.stdout, sys.stderr
    called(speaks, output=output)
    assert output.text == "".join(f"{number}\n" for number in range(1000))
    assert {stream for stream, _ in output.pieces} == {"out", "err"}
    assert output.ended
    assert (sys.stdout, sys.stderr) == before


def test_rays_progress_bars_are_left_out():
    output = InThisProcess()
    called(lambda: print(remote.PROGRESS_BAR + ', "x": 1}\n', end=""), output=output)
    assert output.text == ""


def test_output_that_cannot_be_sent_goes_to_the_process_own_log(capfd: pytest.CaptureFixture[str]):
    def speaks() -> None:
        print("first")
        while not sys.stdout._sender._broken:
            time.sleep(0.001)
        print("second")

    assert called(speaks, output=Broken()) == ("value", None)
    assert capfd.readouterr().out == "first\nsecond\n"


def test_a_child_process_can_write_to_what_the_function_has_for_stdout(capfd: pytest.CaptureFixture[str]):
    kind, code = called(lambda: subprocess.run([sys.executable, "-c", "print('from a child')"], stdout=sys.stdout).returncode)
    assert (kind, code) == ("value", 0)


@pytest.mark.parametrize(("kind", "args"), [(KeyError, ("gone",)), (Picky, (7, "odd")), (OSError, (2, "no file"))])
def test_an_error_comes_back_as_it_was_raised_with_its_traceback(kind: type[Exception], args: tuple[Any, ...]):
    def fails() -> None:
        raise kind(*args)

    error = kind(*args)
    answer, (raised, name, text) = called(fails)
    assert answer == "error"
    assert type(raised) is type(error)
    assert (raised.args, raised.__dict__) == (error.args, error.__dict__)
    assert name.startswith(type(error).__name__)
    assert "in fails" in text and "in call" not in text


def test_an_error_that_cannot_travel_is_told_in_words():
    def fails() -> None:
        raise ValueError(threading.Lock())

    kind, (raised, name, _) = called(fails)
    assert (kind, raised) == ("error", None)
    assert name.startswith("ValueError: <unlocked")


def test_sys_exit_is_told_and_not_raised():
    assert called(sys.exit, 3)[1][:2] == (None, "SystemExit: 3")


def test_a_result_that_cannot_travel_is_an_error_that_names_its_type():
    _, (raised, _, _) = called(threading.Lock)
    assert isinstance(raised, TypeError)
    assert "(lock) cannot leave the cluster" in str(raised)


def read(output: Output, **options: Any) -> tuple[list[remote.Piece], bool]:
    return asyncio.run(output.read("run", **options))


def write(output: Output, text: str, *, last: bool = False) -> None:
    asyncio.run(output.write("run", [("out", text)], last))


def test_output_is_kept_until_it_is_read_and_given_once():
    output = Output()
    write(output, "a")
    write(output, "b")
    assert read(output) == ([("out", "a"), ("out", "b")], False)
    assert read(output, seconds=0.01) == ([], False)
    write(output, "c", last=True)
    assert read(output) == ([("out", "c")], True)


@pytest.mark.asyncio
async def test_a_reader_who_waits_is_told_at_once():
    output = Output()
    reading = asyncio.create_task(output.read("run"))
    await asyncio.sleep(0)
    await output.write("run", [("out", "news")], False)
    async with asyncio.timeout(1):
        assert await reading == ([("out", "news")], False)


def test_output_that_nobody_reads_is_bounded_and_what_is_left_out_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote, "UNREAD_CHARACTERS", 100)
    output = Output()
    for number in range(100):
        write(output, f"{number:10}")
    pieces, _ = read(output)
    assert pieces[0] == ("err", "[900 characters of output were not read in time and are left out]\n")
    assert pieces[-1] == ("out", f"{99:10}")


def test_the_part_that_runs_on_the_cluster_needs_only_python_and_ray():
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).partition(".")[0]
        for node in ast.walk(ast.parse(Path(remote.__file__).read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported - {"ray", "__future__"} <= sys.stdlib_module_names
