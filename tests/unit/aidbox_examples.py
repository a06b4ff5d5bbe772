"""The examples of Aidbox's documentation, as `../shared/protocols/aidbox-samples` holds them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

SAMPLES = Path(__file__).parents[2].parent / "shared" / "protocols" / "aidbox-samples" / "aidbox_awf_doc_examples.json"
needs_samples = pytest.mark.skipif(not SAMPLES.is_file(), reason="no folder ../shared/protocols here")


class Example(NamedTuple):
    """A request and the answers that stand below it. `name`: method and number."""

    name: str
    request: dict[str, Any]
    answers: list[tuple[int, dict[str, Any]]]


class Loader(yaml.SafeLoader):
    """YAML whose times stay text, as they do in JSON."""


Loader.yaml_implicit_resolvers = {
    letter: [pair for pair in pairs if not pair[0].endswith(":timestamp")]
    for letter, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(text: str) -> Any:
    """A YAML text. A page glues the end of one answer to the beginning of the next: that one is cut off."""
    return yaml.load(re.sub(r"(?<=\w)result:\n", "\n", text), Loader)


def examples() -> list[Example]:
    """All requests in the order of the pages, each with its answers: (HTTP status, body)."""
    if not SAMPLES.is_file():
        return []
    found: list[Example] = []
    for each in json.loads(SAMPLES.read_text())["examples"]:
        if each["kind"] == "Request":
            request = load(each["yaml"].partition("\n\n")[2])
            found.append(Example(f"{request['method']}-{len(found)}", request, []))
        else:
            found[-1].answers.append(_answer(each["yaml"]))
    return found


def _answer(text: str) -> tuple[int, dict[str, Any]]:
    told = re.match(r"status: (\d+)\n\n", text, re.IGNORECASE)
    if "result:\n  resources:\n" in text[10:]:
        text = text[text.rindex("result:\n  resources:\n") :]  # the page shows a list of tasks before it, by mistake
    body = load(text[told.end() :] if told and text.startswith(told[0]) else text)
    return int(told[1]) if told else 200, body if {"result", "error"} & body.keys() else {"result": {"resource": body}}


def resources(value: Any) -> Iterator[dict[str, Any]]:
    """All AidboxTask and AidboxWorkflow resources in an answer."""
    if isinstance(value, dict):
        if str(value.get("resourceType")).startswith("Aidbox") and "definition" in value:  # else it is a reference
            yield value
        for each in value.values():
            yield from resources(each)
    elif isinstance(value, list):
        for each in value:
            yield from resources(each)
