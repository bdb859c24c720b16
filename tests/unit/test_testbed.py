"""The testbed, as far as it can be tested without bringing it up."""

import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.testbed import build, images, machine, oci
from tests.testbed.places import Missing
from tests.testbed.processes import Birth, members

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.testbed", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="says there what is missing before this")
def test_without_root_or_go_one_sentence_says_so_and_names_the_cluster_that_one_has(tmp_path):
    done = run("run", "--", "true", PATH=str(tmp_path), XDG_CACHE_HOME=str(tmp_path), JUPYTER_KUBERAY_TEST_CLUSTER="testbed")
    assert done.returncode == 2 and done.stdout == ""
    assert "JUPYTER_KUBERAY_TEST_CLUSTER=current" in done.stderr and done.stderr.count(".\n") == done.stderr.count("\n") == 1
    assert ("needs root" if os.geteuid() else "compiled with Go") in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_linux_is_told_so(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(Missing, match="Linux only"):
        machine.check(builds=False)


def test_the_cluster_of_the_current_context_needs_neither_root_nor_go(tmp_path):
    code = "import os, sys; print(os.environ['JUPYTER_KUBERAY_TEST_IMAGE']); sys.exit(7)"
    told = {"PATH": "", "XDG_CACHE_HOME": str(tmp_path), "JUPYTER_KUBERAY_TEST_CLUSTER": "current", "JUPYTER_KUBERAY_TEST_IMAGE": ""}
    done = run("run", "--", sys.executable, "-c", code, **told)
    assert (done.returncode, done.stdout, done.stderr) == (7, f"rayproject/{images.name('light').rpartition('/')[2]}\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_is_neither_is_refused():
    done = run("run", "--", "true", JUPYTER_KUBERAY_TEST_CLUSTER="mine")
    assert done.returncode == 2 and "testbed, or current" in done.stderr


def test_a_program_is_built_again_when_what_it_is_made_from_changed():
    folders = [program.folder for program in (build.operator("1.5.1"), build.operator("1.6.1"), build.KUBE, build.DNS)]
    assert len(set(folders)) == 4
    assert build.Program("kube", "kube", flags="-X other").folder != build.KUBE.folder


def test_what_was_interrupted_while_it_was_made_is_not_taken_for_whole(tmp_path):
    def half(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    old, new = tmp_path / "thing-1", tmp_path / "thing-2"
    old.mkdir()
    with pytest.raises(KeyboardInterrupt):
        build.made(new, half)
    assert not new.exists()
    build.made(new, lambda folder: (folder / "whole").touch())
    assert [path.name for path in new.iterdir()] == ["whole"] and [path.name for path in tmp_path.iterdir()] == ["thing-2"]


def written(layer: oci.Layer) -> list[str]:
    """The files of an image with one layer; most are called by their digests."""
    out = BytesIO()
    oci.write(out, "localhost/image:1", [layer], {})
    with tarfile.open(fileobj=BytesIO(out.getvalue())) as archive:
        return archive.getnames()


def test_an_image_is_the_same_bytes_each_time_with_its_folder_where_it_belongs(tmp_path):
    folder = tmp_path / "environment"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to("./there")
    (folder / "left-out").touch()
    layer = oci.Layer(folder, "/opt/ray", ["left-out"])
    assert written(layer) == written(layer)
    assert layer.described()["digest"].removeprefix("sha256:") in {name.rpartition("/")[2] for name in written(layer)}
    with layer.packed() as packed, tarfile.open(fileobj=packed, mode="r|") as inner:
        found = {member.name: member.linkname for member in inner}
    assert found == {"opt/ray": "", "opt/ray/bin": "", "opt/ray/bin/python": "./there"}


def test_the_light_image_has_ray_in_the_version_of_the_constraints_and_no_torch():
    requirements = images.requirements("light")
    assert requirements[0].startswith("ray[") and not [each for each in requirements if each.startswith("torch")]
    assert images.name("light") in images.name("heavy") and f":{images.ray_version()}-py3" in images.name("light")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_is_known_by_its_birth_and_by_its_namespace():
    with subprocess.Popen(["sleep", "60"]) as process:
        birth = Birth.of(process.pid)
        assert birth.alive and process.pid in members(os.readlink("/proc/self/ns/pid"))
        process.kill()
        process.wait()
    assert not birth.alive and not Birth(os.getpid(), birth.ticks, birth.boot).alive
