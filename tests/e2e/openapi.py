"""Checks answers of the API, and what it accepts, against src/api/openapi.yaml.

    check(method, path, status, content_type, body)
    check_request(method, path, content_type, body)
    check_message(path, sender, text)

raise AssertionError when the specification does not have that route, status, type or shape. So every
end-to-end test is also a test of the specification. As a program it checks the document itself.
"""

import functools
import json
import os
import re

import jsonschema
import yaml

SPECIFICATION = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             "..", "..", "src", "api", "openapi.yaml")
METHODS = ("get", "post", "put", "delete", "patch", "head")


@functools.cache
def document():
    with open(SPECIFICATION, encoding="utf-8") as file:
        return yaml.safe_load(file)


def resolve(node):
    """Follows a $ref within the document."""
    while "$ref" in node:
        target = document()
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


@functools.cache
def routes():
    """(regular expression of the path, template, path item) of every path."""
    found = []
    for template, item in document()["paths"].items():
        pattern = re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(template))
        found.append((re.compile(pattern + r"\Z"), template, item))
    return found


def find(path):
    """The template and path item of a request's path; nothing for an unknown one."""
    path = path.split("?")[0]
    exact = [(t, i) for _, t, i in routes() if t == path]
    matching = exact or [(t, i) for pattern, t, i in routes() if pattern.match(path)]
    return matching[0] if matching else (None, None)


def response_for(operation, status):
    responses = operation["responses"]
    for key in (str(status), f"{status // 100}XX", "default"):
        if key in responses:
            return resolve(responses[key])
    return None


def validate(schema, value):
    # References resolve against the whole document, which carries them.
    root = {**schema, "components": document()["components"]}
    validator = jsonschema.Draft202012Validator(root)
    errors = sorted(validator.iter_errors(value), key=lambda e: list(e.path))
    assert not errors, "; ".join(f"{'/'.join(map(str, e.path)) or 'body'}: {e.message}"
                                 for e in errors[:3])


def check_error(status, content_type, body, where):
    assert content_type.startswith("application/json"), f"{where}: an error as {content_type!r}"
    validate({"$ref": "#/components/schemas/Error"}, json.loads(body))
    assert status >= 400, where


def check_content(content, kind, body, where):
    """That a body of this kind is one of `content`, the kinds that the document has for it."""
    assert kind in content, f"{where}: {kind!r} is not in openapi.yaml"
    if kind == "application/json":
        try:
            validate(content[kind]["schema"], json.loads(body))
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from None


def check(method, path, status, content_type, body):
    where = f"{method} {path}: {status}"
    template, item = find(path)
    operation = item.get(method.lower()) if item else None
    if operation is None:
        # No such route or method: the API says so, to whoever has a key.
        assert status in ((405, 401, 503) if item else (404, 401, 503)), f"{where}: not in openapi.yaml"
        check_error(status, content_type, body, where)
        return
    response = response_for(operation, status)
    assert response is not None, f"{where}: {template} has no such answer in openapi.yaml"
    content = response.get("content")
    if not content:
        assert not body, f"{where}: a body where none is specified"
        return
    check_content(content, content_type.split(";")[0].strip(), body, where)


def check_request(method, path, content_type, body):
    """The body of a request that was accepted: nothing in it may be unknown to the specification."""
    where = f"{method} {path}: the request, which was accepted"
    _, item = find(path)
    if not body or item is None or method.lower() not in item:
        return
    # The server takes a body that has no type as JSON.
    kind = content_type.split(";")[0].strip() or "application/json"
    specified = item[method.lower()].get("requestBody")
    if specified is None:
        # An empty object is what clients send that send one always.
        assert kind == "application/json" and json.loads(body) == {}, \
            f"{where}: a body was accepted where none is specified"
        return
    check_content(resolve(specified)["content"], kind, body, where)


def check_message(path, sender, text):
    """A text message of a WebSocket, which the "client" or the "server" sends: one of those specified."""
    _, item = find(path)
    specified = item["get"]["x-websocket-messages"][sender]
    try:
        validate({"oneOf": specified}, json.loads(text))
    except AssertionError as error:
        raise AssertionError(f"{path}: the {sender} sends {text[:200]!r}: {error}") from None


def check_document():
    """The document itself: references resolve, all answers of an operation are told apart, and no body of
    a request may have fields that are not in it (so that check_request() finds those)."""
    jsonschema.Draft202012Validator.check_schema({"$defs": document()["components"]["schemas"]})

    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                resolve(node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
    walk(document())
    names = set()
    for _, template, item in routes():
        parameters = {resolve(p)["name"] for p in item.get("parameters", [])
                      if resolve(p)["in"] == "path"}
        assert parameters == set(re.findall(r"\{([a-z_]+)\}", template)), template
        for method in METHODS:
            if method in item:
                name = item[method]["operationId"]
                assert name not in names, name
                names.add(name)
                assert item[method]["summary"] and item[method]["responses"], name
                request = resolve(item[method].get("requestBody", {})).get("content", {})
                if "application/json" in request:
                    schema = resolve(request["application/json"]["schema"])
                    assert schema.get("additionalProperties") is False, name


if __name__ == "__main__":
    check_document()
    print(f"openapi.yaml: {len(routes())} paths")
