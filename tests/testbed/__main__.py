"""A real Kubernetes node with the KubeRay operator, on one Linux machine: ``python -m tests.testbed up``."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys

from . import bed, build, images, node
from .places import Missing, TestbedError

CLUSTER = "JUPYTER_KUBERAY_TEST_CLUSTER"


def main() -> int:
    arguments = _parser().parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # so that what was begun is cleared away
    try:
        return int(arguments.run(arguments) or 0)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 2
    except TestbedError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.testbed", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, help: str, *, options: bool = False) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help, description=help)
        made.set_defaults(run=run)
        if options:
            made.add_argument("--kuberay", choices=build.KUBERAY_VERSIONS, default=build.KUBERAY_VERSION, help="default: %(default)s")
            made.add_argument("--gpus", type=int, default=2, help="to advertise; default: %(default)s")
            made.add_argument("--cpus", type=int, default=16, help="to advertise; default: %(default)s")
        return made

    def with_images(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made.add_argument("--image", choices=images.FLAVOURS, action="append", default=[], help="to load, too; may be given twice")
        return made

    command("build", _build, "install and compile what a bed needs", options=True)
    up = with_images(command("up", _up, "have a bed up: build, start, load", options=True))
    up.add_argument("--fresh", action="store_true", help="begin anew even if one is up")
    command("load", _load, "make an image of Ray and load it").add_argument("flavour", choices=images.FLAVOURS)
    command("down", _down, "end it, with every process, mount and address")
    command("env", _env, "print the lines that point a shell at it")
    run = with_images(command("run", _run, f"run a command with a bed, or where {CLUSTER} says", options=True))
    run.add_argument("command", nargs=argparse.REMAINDER, help="and its arguments, after --")
    return parser


def _options(arguments: argparse.Namespace) -> bed.Options:
    options = bed.Options(gpus=arguments.gpus, cpus=arguments.cpus, kuberay=arguments.kuberay)
    bed.check(options)
    return options


def _build(arguments: argparse.Namespace) -> None:
    bed.prepare(_options(arguments))


def _up(arguments: argparse.Namespace) -> None:
    if not bed.up(_options(arguments), fresh=arguments.fresh, flavours=tuple(arguments.image)):
        print("It is up already.", file=sys.stderr)
    print(bed.shell_lines())


def _load(arguments: argparse.Namespace) -> None:
    if node.birth() is None:
        raise TestbedError("The testbed is not up: make testbed.")
    bed.load(arguments.flavour)
    print(images.name(arguments.flavour))


def _down(_: argparse.Namespace) -> None:
    bed.down()


def _env(_: argparse.Namespace) -> None:
    if node.birth() is None:
        raise TestbedError("The testbed is not up: make testbed.")
    print(bed.shell_lines())


def _run(arguments: argparse.Namespace) -> int:
    """Ctrl-C and an end asked for go to the command; the bed ends after it."""
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    where = os.environ.get(CLUSTER, "testbed")
    if where == "current":
        # What the testbed says by itself: a test of a backend asks nobody else.
        return _wait(command, {"JUPYTER_KUBERAY_TEST_IMAGE": os.environ.get("JUPYTER_KUBERAY_TEST_IMAGE") or images.public_name()})
    if where != "testbed":
        raise Missing(f"{CLUSTER} is {where!r}; it can be testbed, or current for the cluster of your kubeconfig's current context.")
    with bed.lent(_options(arguments), tuple(arguments.image)):
        return _wait(command, bed.environment())


def _wait(command: list[str], environment: dict[str, str]) -> int:
    process = subprocess.Popen(command, env={**os.environ, **environment})
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A terminal's Ctrl-C reaches the command by itself.
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else lambda number, _: process.send_signal(number))
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
