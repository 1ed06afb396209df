"""Reads run events by the types of OpenLineage's own client, which are made from its specification.

Standard input: an event a line. Each has to be what its type can be made of, with nothing more and nothing less, and
come out of the client's own writer as it went in. The answer is the number of events by their states.
"""

import collections
import importlib
import json
import pkgutil
import sys

import attr
from openlineage.client import generated
from openlineage.client.generated import base
from openlineage.client.serde import Serde

MODULES = [importlib.import_module(f"{generated.__name__}.{found.name}") for found in pkgutil.iter_modules(generated.__path__)]
CLASSES = {
    name: found for module in MODULES for name, found in vars(module).items() if isinstance(found, type) and attr.has(found)
}


def of_type(kind, members):
    """An object of a class of the client, of members as JSON has them."""
    members = dict(members)
    for name in ("_schemaURL", "schemaURL"):
        told = members.pop(name, None)
        if told is not None and told != kind._get_schema():
            raise ValueError(f"{kind.__name__} is {kind._get_schema()}, and not {told}")
    parts = {}
    for name, value in members.items():
        if name in ("facets", "inputFacets", "outputFacets"):
            parts[name] = {key: facet(value) for key, value in value.items()}
        elif name == "fields":
            parts[name] = [of_type(CLASSES["SchemaDatasetFacetFields"], field) for field in value]
        elif name in ("inputs", "outputs"):
            parts[name] = [of_type(base.InputDataset if name == "inputs" else base.OutputDataset, one) for one in value]
        elif name in ("run", "job"):
            parts[name] = of_type(base.Run if name == "run" else base.Job, value)
        elif name == "eventType":
            parts[name] = base.EventType(value)
        else:
            # By attrs, a private attribute is given without its underscore.
            parts[name.lstrip("_")] = value
    return kind(**parts)


def facet(members):
    return of_type(CLASSES[members["_schemaURL"].rsplit("/", 1)[1]], members)


def without_empty(value):
    """The client writes empty lists and objects, which may as well be missing."""
    if isinstance(value, dict):
        kept = {key: without_empty(member) for key, member in value.items()}
        return {key: member for key, member in kept.items() if member not in ({}, [], None)}
    return [without_empty(member) for member in value] if isinstance(value, list) else value


def main():
    states = collections.Counter()
    for line in sys.stdin:
        told = json.loads(line)
        kind = base.RunEvent if "run" in told else base.JobEvent
        written = json.loads(Serde.to_json(of_type(kind, told)))
        if without_empty(written) != without_empty(told):
            sys.exit(f"it went in as {told} and came out as {written}")
        states[told.get("eventType", "JOB")] += 1
    print(json.dumps(states))


main()
