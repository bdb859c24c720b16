"""Importing the package costs next to nothing, so that no kernel, server or shell completion waits for it."""

import json
import subprocess
import sys

import pytest

HEAVY = ("ray", "kubernetes", "torch", "transformers", "tornado", "papermill", "pydantic", "codeflare_sdk", "numpy", "rich")


def loaded_by(program: str) -> set[str]:
    """The top-level modules that are there after ``program`` in an interpreter of its own."""
    tell = "\nimport json, sys\nprint(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    ended = subprocess.run([sys.executable, "-c", program + tell], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(ended.stdout))


@pytest.mark.parametrize("heavy", HEAVY)
def test_importing_the_package_does_not_import(heavy):
    assert heavy not in loaded_by("import jupyter_kuberay")


def test_each_public_name_is_there_and_found_by_completion():
    import jupyter_kuberay

    assert {name for name in jupyter_kuberay.__all__ if not hasattr(jupyter_kuberay, name)} == set()
    assert set(jupyter_kuberay.__all__) == set(dir(jupyter_kuberay))


def test_a_name_that_is_not_there_is_an_attribute_error():
    import jupyter_kuberay

    with pytest.raises(AttributeError, match="'Clutser'"):
        _ = jupyter_kuberay.Clutser


def test_a_spec_needs_neither_ray_nor_kubernetes():
    assert not {"ray", "kubernetes", "torch"} & loaded_by("from jupyter_kuberay import ClusterSpec; ClusterSpec(name='ada')")


def test_the_client_and_what_a_person_holds_need_no_ray_until_they_are_used():
    assert not {"ray", "kubernetes", "torch", "transformers"} & loaded_by(
        "from jupyter_kuberay import Client, Cluster, Service, connect, publish"
    )


def test_the_command_lines_help_needs_no_ray():
    program = "from jupyter_kuberay.faces import cli"
    assert not {"ray", "kubernetes", "torch", "transformers", "papermill"} & loaded_by(program)


def test_loading_the_magics_imports_nothing_heavy_before_the_first_is_used():
    program = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'jupyter_kuberay')\n"
        "shell.run_cell('x = 1')\n"
    )
    assert not {*HEAVY, "click", "yaml"} & loaded_by(program)
