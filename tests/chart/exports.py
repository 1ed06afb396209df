"""The metrics that the services export, read from their sources, and those that rules and dashboard name."""

import json
import re

_PREFIX = re.compile(r'sub_registry_with_prefix\("(\w+)"\)')
_REGISTER = re.compile(r'\.register\(\s*"(\w+)",\s*"[^"]*",\s*([^;]*?)\s*,?\s*\);', re.DOTALL)
_NAMED = re.compile(r"\btidemill_[a-z0-9_]+")


def exported(root):
    """Every name that a scrape of the services can have."""
    names = set()
    for source in [*root.glob("services/*/src/**/*.rs"), *root.glob("shared/*/src/**/*.rs")]:
        text = source.read_text()
        prefix = _PREFIX.search(text)
        if not prefix:
            continue
        for name, metric in _REGISTER.findall(text):
            # `telemetry.requests.clone()` or `Family::clone(&requests)`
            field = re.findall(r"\w+", metric.replace("clone", ""))[-1]
            names |= _series(f"{prefix[1]}_{name}", _kind(text, field, name))
    return names


def _kind(text, *fields):
    """Whether a field or local is a counter, a gauge or a histogram."""
    for field in fields:
        for pattern in (
            rf"\b{field}: [^;=\n]*?(Counter|Gauge|Histogram)\b",
            rf"\blet {field}[^;]*?(Counter|Gauge|Histogram)",
        ):
            found = re.search(pattern, text)
            if found:
                return found[1]
    raise ValueError(f"cannot tell what kind of metric {fields[0]} is")


def _series(name, kind):
    if kind == "Counter":
        return {f"{name}_total"}
    if kind == "Histogram":
        return {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return {name}


def named(chart):
    """(where, name) of every metric that the chart's rules and dashboard ask for."""
    import yaml

    rules = yaml.safe_load((chart / "files" / "rules.yaml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            for name in _NAMED.findall(rule["expr"]):
                yield f"alert {rule['alert']}", name
    dashboard = json.loads((chart / "files" / "dashboard.json").read_text())
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            for name in _NAMED.findall(variable["query"]["query"]):
                yield f"variable {variable['name']}", name
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            for name in _NAMED.findall(target["expr"]):
                yield f"panel {panel['title']}", name
