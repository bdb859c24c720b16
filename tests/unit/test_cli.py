"""The command line as a script and a person meet it; nothing here starts a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from jupyter_kuberay.config import KubeRay
from jupyter_kuberay.faces import cli
from jupyter_kuberay.faces.commands import kuberay
from tests.schema import violations

COMMANDS = [
    *["up", "list", "status", "scale", "logs", "attach", "detach", "suspend", "resume", "down", "manifest", "profiles"],
    *["publish", "rollback", "services", "revisions", "diff", "unpublish", "run", "demo", "completion", "doctor"],
    *["job", "jobs", "stop", "app", "progress", "runs", "pipeline"],
]
SCRIPT = Path(sys.executable).with_name("jupyter-kuberay")


@dataclass
class Said:
    code: int
    out: str
    err: str


class CommandLine:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> Said:
        code = cli.run(words)
        said = self._capsys.readouterr()
        return Said(code, said.out, said.err)


@pytest.fixture(autouse=True)
def _no_data_dir_of_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUPYTER_KUBERAY_DATA_DIR", raising=False)


@pytest.fixture
def kuberay_says(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """Where an administrator's configuration lies in these tests."""
    folder = Path(os.environ["JUPYTER_CONFIG_DIR"])
    folder.mkdir(parents=True)
    return folder / "jupyter_kuberay_config.json"


# --- help and definitions ------------------------------------------------


def test_the_help_shows_every_command_with_what_it_does(kuberay_says: CommandLine) -> None:
    said = kuberay_says("--help")
    assert said.code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in said.out


def test_no_command_is_without_a_test_of_its_help() -> None:
    assert sorted(kuberay.commands) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_help_in_which_every_option_is_explained(kuberay_says: CommandLine, name: str) -> None:
    said = kuberay_says(name, "--help")
    assert said.code == 0
    assert said.out.startswith(f"Usage: jupyter kuberay {name}")
    options = [option for option in kuberay.commands[name].params if option.param_type_name == "option"]
    assert all(option.help for option in options)  # type: ignore[attr-defined]


def test_without_a_command_it_shows_the_help_and_calls_it_wrong_use(kuberay_says: CommandLine) -> None:
    said = kuberay_says()
    assert said.code == 2
    assert "Clusters:" in said.err and not said.out


def test_jupyter_finds_it_as_its_own_subcommand() -> None:
    done = subprocess.run([SCRIPT.with_name("jupyter"), "kuberay", "--version"], capture_output=True, text=True, env=_with_scripts())
    assert done.returncode == 0
    assert done.stdout.startswith("jupyter-kuberay ")


def _with_scripts(**more: str) -> dict[str, str]:
    return {**os.environ, "PATH": f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}", **more}


# --- what is refused -----------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["up", "Alice"], ["name", "'Alice'", "lower-case"]),
        (["up", "-x"], ["-x"]),
        (["up", "a" * 54], ["1 to 53"]),
        (["up", "a", "--memory", "8 G"], ["memory", "8 G", "8G"]),
        (["up", "a", "--gpus", "-1"], ["gpus", "-1", "greater than or equal to 0"]),
        (["up", "a", "--workers", "-1"], ["workers", "-1"]),
        (["up", "a", "--workers", "two"], ["--workers", "'two'"]),
        (["up", "a", "--cpu", "banana"], ["cpu", "banana"]),
        (["up", "a", "--image", "Not An Image"], ["image", "Not An Image"]),
        (["up", "a", "--workers", "9"], ["allows 8 workers", "9 were asked for", "at most 8"]),
        (["up", "a", "--profile", "gpu", "--gpus", "9"], ["allows 8 GPUs", "9 were asked for"]),
        (["up", "a", "--profile", "nonsense"], ["'nonsense'", "cpu, cpu-small, gpu"]),
        (["manifest", "a", "--profile", "nonsense"], ["'nonsense'", "cpu, cpu-small, gpu"]),
        (["publish", "a", "--app", "m:a", "--profile", "nonsense"], ["'nonsense'", "cpu, cpu-small, gpu"]),
        (["up", "a", "--backend", "slurm"], ["no backend 'slurm'", "local, kuberay"]),
        (["up", "a", "--backend", "elsewhere"], ["'elsewhere'", "local"]),
        (["up", "a", "--timeout", "0"], ["--timeout"]),
        (["up"], ["NAME"]),
        (["list", "-o", "xml"], ["'xml'", "'json'"]),
        (["upp", "a"], ["'upp'"]),
        (["publish", "a"], ["--app"]),
        (["publish", "a", "--app", "m:a", "--set", "x"], ["'x'", "KEY=VALUE"]),
        (["publish", "a", "--app", "m:a", "--metric", "x=high"], ["x=high"]),
    ],
)
def test_wrong_use_has_code_2_and_names_what_was_wrong(kuberay_says: CommandLine, words: Sequence[str], named: Sequence[str]) -> None:
    said = kuberay_says(*words)
    assert said.code == 2
    assert not said.out
    for part in named:
        assert part in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "words",
    [
        ["status", "a"],
        ["status"],
        ["scale", "a", "2"],
        ["logs", "a"],
        ["attach", "a"],
        ["attach"],
        ["suspend", "a"],
        ["resume", "a"],
        ["down", "a", "--yes"],
        ["services", "a"],
        ["unpublish", "a", "--yes"],
    ],
)
def test_what_is_not_there_has_code_1_with_message_and_hint_on_a_line_each(kuberay_says: CommandLine, words: Sequence[str]) -> None:
    said = kuberay_says(*words)
    assert said.code == 1
    assert not said.out
    message, hint = said.err.splitlines()
    assert message.startswith("Error: There is no ") and message.endswith(".")
    assert hint


def test_debug_shows_where_an_error_came_from(kuberay_says: CommandLine) -> None:
    said = kuberay_says("status", "a", "--debug")
    assert said.code == 1
    assert "Traceback" in said.err and "client.py" in said.err
    assert "Error: There is no cluster 'a'." in said.err


def test_a_configuration_that_cannot_be_read_is_named(kuberay_says: CommandLine, configured: Path) -> None:
    configured.write_text("{")
    said = kuberay_says("list")
    assert said.code == 2
    assert str(configured) in said.err


@pytest.mark.parametrize("wrong", [{"backend": "mars"}, {"profiles": 3}])
def test_a_setting_that_cannot_be_is_named(kuberay_says: CommandLine, configured: Path, wrong: dict[str, object]) -> None:
    configured.write_text(json.dumps({"KubeRay": wrong}))
    said = kuberay_says("list")
    assert said.code == 2
    assert next(iter(wrong)) in said.err and "Traceback" not in said.err


def test_a_notebook_that_is_not_there_is_refused_before_a_cluster_is_brought_up(kuberay_says: CommandLine, tmp_path: Path) -> None:
    said = kuberay_says("run", str(tmp_path / "none.ipynb"))
    assert said.code == 1
    assert "none.ipynb" in said.err
    assert kuberay_says("list", "-o", "json").out == "[]\n"


def test_an_administrators_profiles_and_limits_are_what_is_offered(kuberay_says: CommandLine, configured: Path) -> None:
    profiles = [{"name": "tiny", "cluster": {"worker_groups": [{"replicas": 1}]}, "limits": {"workers": 2}}]
    configured.write_text(json.dumps({"KubeRay": {"profiles": profiles}}))
    assert [profile["name"] for profile in json.loads(kuberay_says("profiles", "-o", "json").out)] == ["tiny"]
    assert "allows 2 workers, and 3 were asked for" in kuberay_says("up", "a", "--workers", "3").err


# --- answers -------------------------------------------------------------


def test_results_are_on_stdout_alone_and_an_empty_list_says_what_to_do(kuberay_says: CommandLine) -> None:
    said = kuberay_says("list")
    assert said.code == 0
    assert "jupyter kuberay up" in said.out and not said.err
    assert kuberay_says("list", "-o", "json").out == "[]\n"
    assert yaml.safe_load(kuberay_says("services", "-o", "yaml").out) == []


def test_a_manifest_says_what_up_would_make(kuberay_says: CommandLine) -> None:
    words = ["manifest", "a", "--profile", "gpu", "--workers", "3", "--gpus", "2", "--memory", "8Gi", "--cpu", "500m", "--image", "me/it:1"]
    said = kuberay_says(*words)
    assert said.code == 0 and not said.err
    (resource,) = yaml.safe_load_all(said.out)
    assert not violations(resource)
    group = resource["spec"]["workerGroupSpecs"][0]
    container = group["template"]["spec"]["containers"][0]
    assert group["replicas"] == 3
    assert container["image"] == "me/it:1"
    assert container["resources"]["limits"] == {"cpu": "500m", "memory": "8Gi", "nvidia.com/gpu": 2}


def test_a_manifest_as_json_is_a_list_that_kubectl_takes(kuberay_says: CommandLine) -> None:
    printed = json.loads(kuberay_says("manifest", "a", "-o", "json").out)
    assert (printed["apiVersion"], printed["kind"]) == ("v1", "List")
    assert list(yaml.safe_load_all(kuberay_says("manifest", "a").out)) == printed["items"]


def test_the_backends_that_can_be_named_are_those_of_the_configuration(
    kuberay_says: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    assert set(KubeRay.backend.values) == {"local", "kuberay"}  # type: ignore[attr-defined]
    assert kuberay_says("list", "--backend", "local").code == 0
    said = kuberay_says("list", "--backend", "kuberay")
    assert said.code == 1
    assert f"There is no kubeconfig at {tmp_path / 'nothing'}." in said.err and "--backend local" in said.err


def test_the_environment_names_the_backend_for_a_process_and_what_it_starts(
    kuberay_says: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    monkeypatch.setenv("JUPYTER_KUBERAY_BACKEND", "kuberay")
    assert "There is no kubeconfig" in kuberay_says("list").err
    assert kuberay_says("list", "--backend", "local").code == 0


# --- shells --------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_what_the_shell_reads(kuberay_says: CommandLine, shell: str) -> None:
    said = kuberay_says("completion", shell)
    assert said.code == 0
    assert "jupyter-kuberay" in said.out and cli.COMPLETE_VARIABLE in said.out


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("jupyter-kuberay sta", {"status"}),
        ("jupyter-kuberay up a --profile ", {"cpu", "cpu-small", "gpu"}),
        ("jupyter-kuberay up a --profile g", {"gpu"}),
        ("jupyter-kuberay list --backend ", {"kuberay", "local"}),
        ("jupyter-kuberay list -o j", {"json"}),
        ("jupyter-kuberay status ", set()),
    ],
)
def test_the_shell_completes_commands_options_and_names(line: str, found: set[str]) -> None:
    words = line.split(" ")
    environment = _with_scripts(**{cli.COMPLETE_VARIABLE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)})
    done = subprocess.run([SCRIPT], capture_output=True, text=True, env=environment)
    assert {item.partition(",")[2] for item in done.stdout.split()} == found
    assert not done.stderr


def test_a_reader_that_stops_reading_is_no_error() -> None:
    with subprocess.Popen([SCRIPT, "manifest", "a"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 141


# --- speed ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (["--help"], {"pydantic", "rich", "yaml"}),
        (["list"], set()),
        (["up", "A"], set()),
        (["completion", "bash"], {"pydantic", "rich"}),
    ],
)
def test_a_command_loads_only_what_it_needs(words: list[str], absent: set[str]) -> None:
    heavy = {
        "ray",
        "torch",
        "transformers",
        "papermill",
        "nbclient",
        "jupyter_client",
        "kubernetes",
        "IPython",
        "tornado",
        "numpy",
        "pandas",
    }
    code = "import sys; from jupyter_kuberay.faces.cli import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert not (heavy | absent) & set(done.stderr.split())


def test_detach_on_the_command_line_says_where_it_means_something(kuberay_says: CommandLine) -> None:
    said = kuberay_says("detach")
    assert said.code == 2 and "%kuberay detach" in said.err
