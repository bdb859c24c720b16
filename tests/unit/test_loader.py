"""The loader by itself, without a cluster: as Serve calls it, and as a try-out runs it."""

import base64
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from ray.serve.exceptions import RayServeException

from jupyter_kuberay.revision import Revision, digest, zipped
from jupyter_kuberay.serving import loader

APP = """
    from ray import serve
    from words import greeting

    @serve.deployment
    class Tiny:
        def __init__(self, name="Ada"):
            self.name, self.model = name, None

        def reconfigure(self, user_config):
            if user_config["model"] == "missing":
                raise FileNotFoundError("no weights at missing")
            self.model = user_config["model"]

        def try_out(self):
            return f"{greeting} {self.name}, {self.model}"

    app = Tiny.bind()

    def build(settings):
        return Tiny.bind(settings["name"])

    unbound = Tiny
"""


def code(**files):
    content = zipped({name.replace("_py", ".py"): textwrap.dedent(text).encode() for name, text in files.items()})
    return {"code": base64.b64encode(content).decode(), "sha256": digest(content)}


def args(app="tiny:app", text=APP, **more):
    return {**code(tiny_py=text, words_py="greeting = 'Hello'"), "app": app, **more}


@pytest.fixture(autouse=True)
def as_if_imported_for_the_first_time():
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in ("tiny", "words"):
        sys.modules.pop(name, None)


def test_an_application_is_loaded_from_the_zip_and_answers_with_its_model():
    outcome = loader.try_out(args(), {"Tiny": {"model": "m1"}})
    assert (outcome["ok"], outcome["answer"]) == (True, "'Hello Ada, m1'")
    assert outcome["deployments"] == {"Tiny": True}


def test_a_builder_is_called_with_the_settings():
    outcome = loader.try_out(args("tiny:build", settings={"name": "Grace"}), {"Tiny": {"model": "m1"}})
    assert outcome["answer"] == "'Hello Grace, m1'"


@pytest.mark.parametrize(
    ("given", "config", "error"),
    [
        (args(text="import nonexistent_thing\n" + textwrap.dedent(APP)), {}, "ModuleNotFoundError: No module named 'nonexistent_thing'"),
        (args(text=APP + "\n    1 / 0\n"), {}, "ZeroDivisionError"),
        (args("tiny:nothing"), {}, "has no attribute 'nothing'"),
        (args("tiny:unbound"), {}, "bind it: app = Deployment.bind()"),
        (args("words:greeting"), {}, "is a str and not a Serve application"),
        (args(), {"Tiny": {"model": "missing"}}, "FileNotFoundError: no weights at missing"),
        (args(), {"Tinny": {"model": "m1"}}, "no deployment Tinny; it has Tiny"),
        (args() | {"sha256": "0" * 64}, {}, "the code's sha256 is"),
        (args() | {"code": "not base64!"}, {}, "Error"),
        (args(text=APP + "\n    raise SystemExit(3)\n"), {}, "SystemExit: 3"),
    ],
)
def test_whatever_is_wrong_is_told_and_nothing_is_raised(given, config, error):
    outcome = loader.try_out(given, config)
    assert outcome["ok"] is False
    assert error in outcome["error"]


def test_an_error_shows_the_lines_of_the_application_and_not_those_of_the_loader():
    error = loader.try_out(args(text="\nimport nonexistent_thing\n"), {})["error"]
    assert 'tiny.py", line 2' in error and "import nonexistent_thing" in error
    assert "loader.py" not in error and "importlib" not in error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nonexistent_thing", "ModuleNotFoundError: No module named 'nonexistent_thing'"),
        ("app = 1", "TypeError: tiny:app is a int and not a Serve application"),
        ("def app(settings", "SyntaxError: '(' was never closed"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_serve_does_not_try_again_what_would_fail_again(text, said):
    """It retries all but its own exception, each time in a new process; for a user, four times the wait."""
    with pytest.raises(RayServeException) as caught:
        loader.build(args(text=text))
    assert said in str(caught.value) and "loader.py" not in str(caught.value)


def test_serve_may_try_again_what_a_network_or_a_person_stopped():
    with pytest.raises(ConnectionError):
        loader.build(args(text="raise ConnectionResetError('the hub')"))
    with pytest.raises(KeyboardInterrupt):
        loader.build(args(text="raise KeyboardInterrupt"))


def test_a_try_out_leaves_no_files_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert loader.try_out(args(), {"Tiny": {"model": "m1"}})["ok"]
    assert list(tmp_path.iterdir()) == []


def test_deployments_that_call_others_are_tried_out_together():
    text = """
        from ray import serve

        @serve.deployment
        class Inner:
            def reconfigure(self, user_config):
                self.model = user_config["model"]
            def answer(self):
                return self.model

        @serve.deployment
        class Outer:
            def __init__(self, inner):
                self.inner = inner
            async def try_out(self):
                return await self.inner.answer.remote()

        app = Outer.bind(Inner.bind())
    """
    outcome = loader.try_out(args(text=text), {"Inner": {"model": "deep"}})
    assert (outcome.get("error"), outcome["answer"]) == (None, "'deep'")
    assert outcome["deployments"] == {"Inner": True, "Outer": False}


def test_code_can_lie_at_an_address(tmp_path):
    inline = args()
    (tmp_path / "code.zip").write_bytes(base64.b64decode(inline["code"]))
    there = inline | {"code": f"file://{tmp_path}/code.zip"}
    assert loader.try_out(there, {"Tiny": {"model": "m1"}})["ok"]
    outcome = loader.try_out(inline | {"code": f"file://{tmp_path}/gone.zip"}, {})
    assert "gone.zip" in outcome["error"]


def test_an_application_in_the_image_needs_no_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "tiny.py").write_text(textwrap.dedent(APP))
    (tmp_path / "words.py").write_text("greeting = 'Hi'")
    outcome = loader.try_out({"code": "", "sha256": "", "app": "tiny:app"}, {"Tiny": {"model": "m1"}})
    assert outcome["answer"] == "'Hi Ada, m1'"


def test_published_code_wins_over_a_module_of_the_same_name_that_is_there(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "words.py").write_text("greeting = 'Hi'")
    __import__("words")
    assert loader.try_out(args(), {"Tiny": {"model": "m1"}})["answer"] == "'Hello Ada, m1'"


def test_a_replica_which_is_another_process_gets_the_code_with_the_deployment(tmp_path):
    """Serve pickles what the builder made, and a replica has never seen the zip."""
    lazy = APP.replace("return f", "import later; return later.word + f")
    built = args(text=lazy) | code(tiny_py=lazy, words_py="greeting = 'Hello'", later_py="word = 'later '")
    shutil.copy(loader.__file__, tmp_path / "jupyter_kuberay_loader.py")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "TMPDIR": str(tmp_path)}
    build = """
        import json, sys
        from ray import cloudpickle
        import jupyter_kuberay_loader
        app = jupyter_kuberay_loader.build(json.load(sys.stdin))
        sys.stdout.buffer.write(cloudpickle.dumps(app._bound_deployment.func_or_class))
    """
    replica = """
        import sys
        from ray import cloudpickle
        made = cloudpickle.loads(sys.stdin.buffer.read())()
        made.reconfigure({"model": "m1"})
        print(made.try_out())
    """
    pickled = run(build, json.dumps(built).encode(), environment)
    assert run(replica, pickled, environment).decode().strip() == "later Hello Ada, m1"


def run(source, given, environment):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], input=given, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_the_command_of_a_revision_is_understood(tmp_path):
    shutil.copy(loader.__file__, tmp_path / "jupyter_kuberay_loader.py")
    made = args()
    revision = Revision(number=3, app="tiny:app", code=made["code"], sha256=made["sha256"], model="m1", deployments=("Tiny",))
    command = revision.try_out.replace("python", sys.executable, 1)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, shell=True, capture_output=True, env=environment, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["answer"] == "'Hello Ada, m1'"
    failing = revision.model_copy(update={"model": "missing"}).try_out.replace("python", sys.executable, 1)
    assert subprocess.run(failing, shell=True, capture_output=True, env=environment, check=False).returncode == 1


def test_the_loader_needs_nothing_of_this_package():
    assert "jupyter_kuberay." not in Path(loader.__file__).read_text()
