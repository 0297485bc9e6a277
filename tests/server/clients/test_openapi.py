"""schemathesis makes requests out of docs/openapi.yaml: every answer must be one that the file describes, and the server must
never fail. The file must have all routes."""

import pathlib
import re

import pytest

schemathesis = pytest.importorskip("schemathesis")

from hypothesis import HealthCheck, Phase, settings  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance, response_schema_conformance, status_code_conformance)

ROOT = pathlib.Path(__file__).resolve().parents[3]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

schema = schemathesis.openapi.from_path(str(ROOT / "docs/openapi.yaml"))


def test_all_routes_are_described():
    import yaml

    described = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())["paths"]
    mine = {(method.upper(), re.sub(r"\{.*", "*", path)) for path, item in described.items() for method in item}
    table = (ROOT / "server/routes.def").read_text()
    routes = {tuple(found) for found in re.findall(r'^ROUTE\((\w+), "([^"]+)"', table, re.M)}
    assert mine == {route for route in routes if route[1] != "/"}  # the chat page is no API


# the second of a pair of paths is the same route
@schema.exclude(path_regex=r"^/(models|chat/completions|completions|embeddings|responses|v1/health)$").parametrize()
@settings(max_examples=12, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
          suppress_health_check=list(HealthCheck))
def test_every_answer_is_described(case, server):
    case.call_and_validate(base_url=server.url, checks=CHECKS)
