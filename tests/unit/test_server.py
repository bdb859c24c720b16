"""The Jupyter Server extension as far as it starts nothing: its table, its description, and what loading it costs."""

import inspect
import json
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from jupyter_kuberay.faces.server import openapi
from jupyter_kuberay.faces.server.handlers import handlers
from jupyter_kuberay.faces.server.rest import Rest
from jupyter_kuberay.faces.server.routes import OPERATIONS
from tests.unit.test_import_budget import loaded_by

DESCRIPTION = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_a_jupyter_servers_start_loads_neither_pydantic_nor_kubernetes_nor_ray():
    program = "import jupyter_server.serverapp, jupyter_kuberay; print(jupyter_kuberay._jupyter_server_extension_points())"
    program = f"import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()):\n    {program}"
    assert not {"pydantic", "kubernetes", "ray", "aiohttp", "yaml", "torch"} & (
        loaded_by(program) - loaded_by("import jupyter_server.serverapp")
    )


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_each_operation_is_done_by_a_method_that_takes_just_what_it_gets(operation):
    taken = set(inspect.signature(getattr(Rest, operation.name)).parameters) - {"self"}
    given = {
        *operation.parameters,
        *(query.name for query in operation.query),
        *(("body",) if operation.body else ()),
        *(("asked",) if operation.asked else ()),
    }
    assert taken == given


def test_a_path_has_one_handler_with_a_resource_of_its_own():
    made = handlers("/")
    assert len({pattern for pattern, _ in made}) == len(made)
    assert {handler.auth_resource for _, handler in made} == {each.resource for each in OPERATIONS}
    for _, handler in made:
        wrapped = [vars(handler).get(method) for method in ("get", "post", "put", "delete")]
        assert any(wrapped), "nothing is answered"


def test_the_description_is_valid_and_the_one_that_is_committed():
    described = openapi.description()
    OpenAPIV31SpecValidator(described).validate()
    committed = json.loads(DESCRIPTION.read_text())
    assert committed == described, "write it anew: python tools/openapi.py"
