"""The profiles of the chart: each runs its part of the suite, and leaves nothing of the rest."""

import json
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

import reachability
import tools
from manifests import component, title

FOLDER = tools.CHART / "profiles"
# In the order of the path from one to the next (docs/patterns.md), with the services that each runs.
SERVICES = {
    "medallion": {"ingestion", "enrichment", "lake"},
    "medallion-streaming": {"ingestion", "enrichment", "aggregation", "reporting", "lake"},
    "kappa": {"ingestion", "enrichment", "aggregation", "reporting"},
    "lambda": {"ingestion", "enrichment", "aggregation", "reporting", "lake"},
    "full": {"ingestion", "enrichment", "aggregation", "alert", "recommendation", "reporting", "lake"},
}
ALL = SERVICES["full"]
# Servers, and what runs beside them.
SERVERS = {"nats", "postgres", "influxdb", "jaeger"}
# What cannot be changed of a set of pods that stands.
FIXED = {"Deployment": ("selector",), "StatefulSet": ("selector", "serviceName", "volumeClaimTemplates", "podManagementPolicy")}


def off(services):
    """What does not run where these services do: aggregation alone writes to InfluxDB."""
    return (ALL - services) | ({"influxdb"} if "aggregation" not in services else set())


def service_problems(m, services):
    """Just these run, and nothing names the others."""
    wanted = services | SERVERS - off(services)
    found = {component(labels) for owner, labels, _ in m.pods() if owner["kind"] in ("Deployment", "StatefulSet")}
    if found != wanted:
        yield f"{sorted(found)} run, not {sorted(wanted)}"
    for one in m.objects:
        for absent in sorted(off(services)):
            named = rf"\b(tidemill-{absent}|{absent}-(url|password|token)|tidemill/{absent}:)"
            if component(one["metadata"].get("labels", {})) == absent or re.search(named, json.dumps(one)):
                yield f"{title(one)} is about {absent}, which does not run"


def rule_problems(m, services, all_rules):
    """An alert is there if it is about a service that runs, or about all of them."""
    found = {rule["alert"] for one in m.kind("PrometheusRule") for group in one["spec"]["groups"] for rule in group["rules"]}
    for name, expression in all_rules.items():
        owners = set(re.findall(r"tidemill_([a-z]+)_", expression)) & ALL
        if (name in found) != (not owners or bool(owners & services)):
            yield f"{name}, which is about {sorted(owners)}, is {'' if name in found else 'not '}there"


def flow_problems(m, services, everything):
    """Who reaches whom is as where all run, without those that do not."""
    absent = off(services) | (set() if {"aggregation", "reporting"} <= services else {"test"})
    ends = {flow: {flow.split(" -> ")[0], flow.split(" -> ")[1].split(":")[0]} for flow in everything}
    wanted = {flow for flow in everything if not ends[flow] & absent}
    found = set(reachability.table(m))
    yield from (f"{flow} is possible" for flow in sorted(found - wanted))
    yield from (f"{flow} is not possible" for flow in sorted(wanted - found))


def backlog_problems(m, services):
    """Senders wait for those alone that run: a reader that was left behind holds nobody up."""
    text = m.named("ConfigMap")["tidemill-ingestion"]["data"]["config.toml"]
    told = re.search(r"backlog_of = (.*)", text)
    whom = set(json.loads(told[1])) if told else {"enrichment", "aggregation", "reporting"}
    if not whom or whom - services:
        yield f"senders wait for {sorted(whom)}, where {sorted(services)} run"


def path_problems(renderings):
    """An upgrade from each profile to the next is one that Kubernetes takes, and keeps the volumes."""
    names = list(SERVICES)
    for before, after in zip(names, names[1:]):
        old, new = (renderings[f"profile {name}"] for name in (before, after))
        for kind, fields in FIXED.items():
            for name, one in old.named(kind).items():
                other = new.named(kind).get(name, one)
                for field in fields:
                    if one["spec"].get(field) != other["spec"].get(field):
                        yield f"{before} to {after}: {kind}/{name} has another {field}"
        for name in old.named("StatefulSet"):
            if name not in new.named("StatefulSet"):
                yield f"{before} to {after}: StatefulSet/{name} goes"


def file_problems(helm):
    """There is a file for each, all say the same things, and the packaged chart has them."""
    import yaml

    texts = {file.stem: yaml.safe_load(file.read_text()) for file in FOLDER.glob("*.yaml")}
    if set(texts) != set(SERVICES):
        yield f"{sorted(texts)} are there, not {sorted(SERVICES)}"
    # Who goes from one to another keeps what the other does not say.
    keys = {name: sorted(_keys(values)) for name, values in texts.items()}
    yield from (f"{name} sets {told}, and full {keys['full']}" for name, told in keys.items() if told != keys["full"])
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([helm, "package", str(tools.CHART), "--destination", folder], capture_output=True, text=True)
        if done.returncode:
            yield done.stderr.strip()
            return
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            packed = {Path(name).stem for name in archive.getnames() if Path(name).parent.name == "profiles"}
        yield from (f"{name} is not in the packaged chart" for name in sorted(set(SERVICES) - packed))


def _keys(values, path=""):
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _keys(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def can_fail_problems(full):
    """What is wrong with a whole suite, taken for layers alone, is told."""
    layers = SERVICES["medallion"]
    told = {
        "services": service_problems(full, layers),
        "flows": flow_problems(full, layers, set(reachability.table(full))),
        "backlog": backlog_problems(full, layers),
        "rules": rule_problems(full, layers, {"TidemillNotificationsFail": "tidemill_alert_x"}),
    }
    yield from (f"{name} takes everything" for name, problems in told.items() if not any(problems))
