"""``jupyter kuberay``: runs a command, shows its answer, and ends with a code that a script can use."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from jupyter_kuberay.errors import InvalidSpec, KubeRayError
from jupyter_kuberay.faces import apps, health, jobs, models, notebooks  # noqa: F401  (they add their commands)
from jupyter_kuberay.faces.commands import kuberay
from jupyter_kuberay.faces.face import Interrupted, WrongUse
from jupyter_kuberay.faces.terminal import Terminal

if TYPE_CHECKING:
    from click.shell_completion import ShellComplete

PROGRAM = "jupyter kuberay"
COMPLETE_VARIABLE = "_JUPYTER_KUBERAY_COMPLETE"

DONE, REFUSED, WRONG, INTERRUPTED, TERMINATED, NOBODY_READS = 0, 1, 2, 130, 143, 141


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, to be cleaned up after like Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; see the codes above."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores one of them
            signal.signal(number, _terminate)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    face = Terminal()
    try:
        answer = kuberay.main(args=list(arguments), prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE, standalone_mode=False, obj=face)
        # Click answers with a number where it ended by itself, as after --help.
        if answer is not None and not isinstance(answer, int):
            _show(face, answer)
        sys.stdout.flush()
        return answer if isinstance(answer, int) else getattr(answer, "exit_code", DONE)
    except (click.Abort, KeyboardInterrupt) as ended:
        return _interrupted(face, ended.__cause__ or ended)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return WRONG
    except click.ClickException as error:
        return _fail(face, error, *_usage(error), code=error.exit_code)
    except KubeRayError as error:
        return _fail(face, error, error.message, error.hint, code=WRONG if isinstance(error, InvalidSpec | WrongUse) else REFUSED)
    except BrokenPipeError:
        # Python would complain at its end that stdout cannot be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except Exception as error:
        what = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return _fail(face, error, f"Something went wrong that should not have: {what}", "See it whole with --debug.", code=REFUSED)
    finally:
        face.close()


def _show(face: Terminal, answer: Any) -> None:
    from jupyter_kuberay.faces.render import show

    show(answer, face.output, face.out, face.now())


def _fail(face: Terminal, error: BaseException, message: str, hint: str, *, code: int) -> int:
    if face.debug:
        import traceback

        traceback.print_exception(error)
    if sys.stderr.isatty():
        from rich.text import Text

        face.err.print(Text.assemble(("Error: ", "bold red"), message))
        if hint:
            face.err.print(Text(hint, style="dim"))
    else:
        print(f"Error: {message}", *([hint] if hint else []), sep="\n", file=sys.stderr, flush=True)
    return code


def _usage(error: click.ClickException) -> tuple[str, str]:
    context = getattr(error, "ctx", None)
    hint = f"See: {context.command_path} --help" if context else ""
    return error.format_message(), hint


def _interrupted(face: Terminal, ended: BaseException) -> int:
    terminated = isinstance(ended, Terminated) or isinstance(ended.__context__, Terminated)
    face.say(ended.message if isinstance(ended, Interrupted) else "Interrupted.")
    return TERMINATED if terminated else INTERRUPTED


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    if number == signal.SIGHUP:
        # The terminal is gone; what is written to it while cleaning up would be an error.
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
    raise Terminated


@kuberay.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes your shell complete commands and names.

    For bash: eval "$(jupyter-kuberay completion bash)" in ~/.bashrc; it
    completes `jupyter-kuberay`, which is the same command.
    """
    from click.shell_completion import get_completion_class

    found: type[ShellComplete] | None = get_completion_class(shell)
    assert found is not None
    click.echo(found(kuberay, {}, "jupyter-kuberay", COMPLETE_VARIABLE).source())


if __name__ == "__main__":
    main()
