"""From a cluster's long words to a short sentence. The texts are Ray 2.58's."""

import json

from jupyter_kuberay.outcome import explained, failure_of, last_line

DEPLOY_FAILED = """Deploying app 'tiny' failed with exception:
Traceback (most recent call last):
  File "/venv/lib/python3.11/site-packages/ray/serve/_private/application_state.py", line 900, in _reconcile_build_app_task
    args, err = ray.get(self._build_app_task_info.obj_ref)
ray.exceptions.RayTaskError(RuntimeError): \x1b[36mray::build_serve_application()\x1b[39m (pid=14030, ip=192.0.2.2)
RuntimeError: Traceback (most recent call last):
  File "/etc/jupyter-kuberay/loader/jupyter_kuberay_loader.py", line 133, in _load
    found: Any = importlib.import_module(module_name)
  File "<frozen importlib._bootstrap>", line 1204, in _gcd_import
  File "/tmp/ray/session/jupyter-kuberay/d0daeb38c5dc9f728640/tiny.py", line 3, in <module>
    import nonexistent_thing
ModuleNotFoundError: No module named 'nonexistent_thing'"""
OUTCOME = {"jupyter-kuberay-tried": "tiny:app", "ok": False, "error": "ValueError: no weights\n"}


def test_an_import_error_is_named_with_the_line_of_the_application_that_it_comes_from():
    error = explained(DEPLOY_FAILED, "The application does not start")
    assert error.message == "The application does not start: ModuleNotFoundError: No module named 'nonexistent_thing' (tiny.py, line 3)."
    assert error.hint


def test_the_whole_of_what_was_said_is_the_cause():
    assert "RayTaskError" in str(explained(DEPLOY_FAILED, "x").__cause__)
    assert "\x1b" not in str(explained(DEPLOY_FAILED, "x").__cause__)


def test_words_without_a_traceback_are_told_as_they_are():
    assert (
        explained("The deployment failed to start 3 times.", "It does not start").message
        == "It does not start: The deployment failed to start 3 times."
    )
    assert explained("", "It does not start").message == "It does not start: no reason is given."


def test_what_a_try_out_said_is_found_among_what_the_application_printed():
    message = f"Job entrypoint command failed with exit code 1, last available logs:\nloading…\n{json.dumps(OUTCOME)}\n"
    assert failure_of(message) == "ValueError: no weights\n"


def test_a_try_out_that_was_killed_is_told_by_the_words_of_its_job():
    killed = "Job entrypoint command failed with exit code 137"
    assert failure_of(killed) == killed
    cut = killed + "\n" + json.dumps(OUTCOME)[:30]
    assert failure_of(cut) == cut


def test_the_last_line_is_the_last_that_says_something():
    assert last_line("a\n\x1b[31m b \x1b[0m\n\n") == "b"
    assert last_line("") == ""
