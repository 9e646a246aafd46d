"""The OpenAPI document, from the very types that decode and encode, and the page that shows it.

The page uses the Swagger UI that BentoML carries; BentoML's own page also loads a tracker from the internet.
"""

from typing import Any

import msgspec

from << cookiecutter.__package >>.columns import Schema

ABOUT = "<< cookiecutter.__description >>"
HTML = b"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title><< cookiecutter.project >></title>
<link rel="stylesheet" href="./static_content/swagger-ui.css"></head>
<body><div id="page"></div>
<script src="./static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "./docs.json", dom_id: "#page"})</script></body>
</html>
"""
REFUSALS = {
    "400": "The body is not JSON",
    "405": "Not a POST",
    "408": "The body did not arrive in time",
    "413": "Too many bytes or rows",
    "415": "Not application/json",
    "422": "A row does not fit the schema; `problems` names rows and fields",
    "500": "The model could not answer",
    "503": "Overloaded: try again after `Retry-After` seconds",
}


def document(schema: Schema, request: type, answer: type, problem: type, version: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document with one working example."""
    references, components = msgspec.json.schema_components(
        [request, answer, problem], ref_template="#/components/schemas/{name}"
    )
    asked, answered, refused = ({"application/json": {"schema": reference}} for reference in references)
    asked["application/json"]["example"] = {"rows": [schema.example()]}
    identity = {"name": "X-Request-ID", "in": "header", "schema": {"type": "string"}, "required": False}
    predict = {
        "operationId": "predict",
        "summary": f"Predict `{schema.label}` for one row or many",
        "parameters": [identity],
        "requestBody": {"required": True, "content": asked},
        "responses": {
            "200": {"description": "One prediction for each row, in order", "content": answered},
            **{code: {"description": about, "content": refused} for code, about in REFUSALS.items()},
        },
    }
    infrastructure = {
        "/readyz": ("200 once the model has answered, else 503", ("200", "503")),
        "/livez": ("200 while the process runs", ("200",)),
        "/metrics": ("Prometheus metrics", ("200",)),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "<< cookiecutter.project >>", "description": ABOUT, "version": version},
        "paths": {
            "/predict": {"post": predict},
            **{
                path: {"get": {"summary": about, "responses": {code: {"description": "As above"} for code in codes}}}
                for path, (about, codes) in infrastructure.items()
            },
        },
        "components": {"schemas": components},
    }
