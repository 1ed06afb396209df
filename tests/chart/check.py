#!/usr/bin/env python3
"""Checks the chart without a cluster: `make chart-test`.

It renders the chart for a matrix of values and tests what comes out: Kubernetes'
own schemas, invariants, who reaches whom, settings and metrics against those of
the services. What needs a program that is missing is skipped, and says so.
"""

import functools
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "scripts" / "chart")]
import tools  # noqa: E402

# The oldest that the chart is for, one in between, and the newest with schemas.
KUBERNETES = ("1.30", "1.34", "1.37")
# Kinds whose schemas come with operators, not with Kubernetes.
CUSTOM = {"ScaledObject", "ServiceMonitor", "PodMonitor", "PrometheusRule"}
VALUES = {
    "defaults": [],
    "ha": [tools.CHART / "values-ha.yaml"],
    "laptop": [tools.CHART / "values-laptop.yaml"],
    "keda": [HERE / "values" / "keda.yaml"],
    "external": [HERE / "values" / "external.yaml"],
    "minimal": [HERE / "values" / "minimal.yaml"],
    "everything": [HERE / "values" / "everything.yaml"],
    "open": [HERE / "values" / "open.yaml"],
    "lake": [HERE / "values" / "lake.yaml"],
    **{f"profile {file.stem}": [file, HERE / "values" / "bucket.yaml"] for file in (tools.CHART / "profiles").glob("*.yaml")},
    "replay": [HERE / "values" / "replay.yaml"],
    "replay of bronze": [HERE / "values" / "replay.yaml", HERE / "values" / "lake.yaml"],
}
# Secrets that a variant's user brings along.
GIVEN = {
    "lake": {"lake-bucket", "catalogue"},
    "replay of bronze": {"lake-bucket", "catalogue"},
    "external": {"my-keys", "my-slack", "my-nats", "my-databases", "my-influxdb"},
    **{variant: {"lake-bucket"} for variant in VALUES if variant.startswith("profile ")},
}


class Report:
    """Counts checks, and tells of each that does not hold."""

    def __init__(self):
        self.passed, self.failed, self.skipped = 0, 0, 0

    def check(self, name, problems):
        problems = list(dict.fromkeys(problems))
        if not problems:
            self.passed += 1
            return
        self.failed += 1
        print(f"FAILED {name}")
        for problem in problems[:20]:
            print(f"    {problem}")

    def skip(self, name, why):
        self.skipped += 1
        print(f"SKIPPED {name}: {why}")

    def end(self):
        print(f"chart: {self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return 1 if self.failed else 0


def render(helm, variant, *arguments, **options):
    from manifests import Manifests

    files = [argument for file in VALUES[variant] for argument in ("--values", str(file))]
    return Manifests(tools.objects(tools.template(helm, *files, *arguments, **options)), GIVEN.get(variant, ()))


# --- one rendering --------------------------------------------------------------


@functools.cache
def validator(version, kind, api):
    """A strict validator of a kind in a version of Kubernetes."""
    import jsonschema
    import kubernetes_validate

    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    group, _, revision = api.rpartition("/")
    name = f"{kind}-{group.split('.')[0]}-{revision}" if group else f"{kind}-{revision}"
    schema = folder / f"{name.lower()}.json"
    definitions = json.loads((folder / "_definitions.json").read_text())

    def retrieve(uri):
        import referencing

        return referencing.Resource.from_contents(definitions, referencing.jsonschema.DRAFT7)

    import referencing
    import referencing.jsonschema

    return jsonschema.Draft7Validator(json.loads(schema.read_text()), registry=referencing.Registry(retrieve=retrieve))


def schema_problems(m, version):
    from manifests import title

    for one in m.objects:
        if one["kind"] in CUSTOM:
            continue
        for error in validator(version, one["kind"], one["apiVersion"]).iter_errors(one):
            yield f"{title(one)} {error.json_path}: {error.message[:200]}"


def settings_problems(m):
    """Files and environment of the services, against the schemas that the services print."""
    import jsonschema
    from invariants import SERVICES
    from manifests import component

    for owner, labels, spec in m.pods():
        service = component(labels)
        if service not in SERVICES:
            continue
        schema = json.loads((tools.ROOT / "docs" / "reference" / f"{service}.settings.json").read_text())
        name = next(one["configMap"]["name"] for one in spec["volumes"] if one["name"] == "config")
        settings = tomllib.loads(m.named("ConfigMap")[name]["data"]["config.toml"])
        for env in spec["containers"][0]["env"]:
            section, _, key = env["name"].removeprefix("TIDEMILL_").lower().partition("__")
            if env["name"].startswith("TIDEMILL_") and key:
                *within, key = key.removesuffix("_file").split("__")
                given = "secret" if env["name"].endswith("_FILE") else env.get("value", "secret")
                place = settings.setdefault(section, {})
                for name in within:
                    place = place.setdefault(name, {})
                place[key] = given
        for error in jsonschema.Draft202012Validator(schema).iter_errors(settings):
            yield f"{service} {error.json_path}: {error.message[:200]}"


def consumer_problems(m):
    """KEDA looks at consumers that the services make."""
    import re

    topology = (tools.ROOT / "shared" / "events" / "src" / "topology.rs").read_text()
    for one in m.kind("ScaledObject"):
        names = [trigger["name"] for trigger in one["spec"]["triggers"]]
        formula = one["spec"]["advanced"].get("scalingModifiers", {}).get("formula", " + ".join(names))
        if formula.split(" + ") != names:
            yield f"{one['metadata']['name']} does not add up all its triggers"
        for trigger in one["spec"]["triggers"]:
            consumer, stream = trigger["metadata"]["consumer"], trigger["metadata"]["stream"]
            if f'"{re.sub("[0-9]+$", "{p}", consumer)}"' not in topology or f'"{stream}"' not in topology:
                yield f"there is no consumer {consumer} of {stream}"


# --- scanners ------------------------------------------------------------------

# What comes by default, and with what is optional.
SCANNED = ("defaults", "everything")
# A privileged pod, which a scanner of manifests has to find under its name.
PLANTED = """
apiVersion: v1
kind: Pod
metadata: {name: planted, namespace: tidemill}
spec: {containers: [{name: one, image: "example.com/one:1", securityContext: {privileged: true}}]}
"""


def scan(report, helm):
    import yaml

    import scanners

    exceptions = yaml.safe_load((HERE / "exceptions.yaml").read_text())
    report.check("exceptions name a scanner", (one["tool"] for one in exceptions if one["tool"] not in scanners.ALL))
    report.check("scanners' exceptions can fail", exception_problems(scanners.problems))
    with tempfile.TemporaryDirectory() as folder:
        for variant in SCANNED:
            files = [argument for file in VALUES[variant] for argument in ("--values", str(file))]
            (Path(folder) / f"{variant}.yaml").write_text(tools.template(helm, *files))
        (Path(folder) / "planted.yaml").write_text(PLANTED)
        for name, scanner in scanners.ALL.items():
            try:
                found = list(scanner(Path(folder)))
            except scanners.Missing as missing:
                report.skip(name, missing)
                continue
            planted = [one for one in found if one[1] == "Pod/planted"]
            report.check(name, scanners.problems(name, [one for one in found if one not in planted], exceptions))
            if name not in scanners.DOCKERFILE_ALONE:
                report.check(f"{name} can fail", planted_problems(planted))


def planted_problems(found):
    if not any("privileged" in says.lower() for _, _, says in found):
        yield f"a privileged pod is not told of, but {sorted(rule for rule, _, _ in found)}"


def exception_problems(problems):
    """A finding without an exception is told, and so is an exception without a finding or without a reason."""
    one = {"tool": "t", "rule": "R", "objects": ["Pod/*"], "reason": "why"}
    wanted = [
        ([("R", "Pod/a", "bad")], [one], 0),
        ([("R", "Job/a", "bad")], [one], 2),
        ([("S", "Pod/a", "bad")], [], 1),
        ([], [one], 1),
        ([("R", "Pod/a", "bad")], [{**one, "objects": ["Pod/a", "Pod/b"]}], 1),
        ([("R", "Pod/a", "bad"), ("R", "Pod/b", "bad")], [{**one, "objects": ["Pod/a"]}], 1),
        ([("R", "Pod/a", "bad")], [{**one, "reason": " "}], 1),
        ([], [{**one, "tool": "another"}], 0),
    ]
    for number, (found, exceptions, count) in enumerate(wanted):
        told = list(problems("t", found, exceptions))
        if len(told) != count:
            yield f"case {number} gives {told}"


# --- the chart as a whole ----------------------------------------------------------


def lint_problems(helm):
    for variant, files in VALUES.items():
        arguments = [argument for file in files for argument in ("--values", str(file))]
        done = subprocess.run(
            [helm, "lint", "--strict", "--kube-version", tools.KUBE_VERSION, str(tools.CHART), *arguments],
            capture_output=True, text=True,
        )
        if done.returncode:
            yield f"{variant}: {done.stdout}{done.stderr}"


def refusal_problems(helm):
    import yaml

    for one in yaml.safe_load((HERE / "refusals.yaml").read_text()):
        try:
            tools.template(helm, *[argument for value in one["set"] for argument in ("--set", value)])
            yield f"{one['set']} is taken"
        except tools.HelmError as error:
            if one["says"] not in str(error):
                yield f"{one['set']} is refused without `{one['says']}`: {error}"


def reachability_problems(renderings):
    import reachability

    expected, variant = {}, None
    for line in (HERE / "reachability.txt").read_text().splitlines():
        if line.startswith("["):
            variant = line.strip("[]")
            # Each variant is told by how it differs from the defaults.
            expected[variant] = set(expected.get("defaults", ()))
        elif line and not line.startswith("#"):
            change = expected[variant].discard if line.startswith("not ") else expected[variant].add
            source, _, rest = line.removeprefix("not ").partition(" ")
            for one in reachability.OUTSIDE if source == "anybody" else [source]:
                change(f"{one} {rest}")
    for variant, flows in expected.items():
        found = set(reachability.table(renderings[variant]))
        yield from (f"{variant}: {flow} is possible" for flow in sorted(found - flows))
        yield from (f"{variant}: {flow} is not possible" for flow in sorted(flows - found))


def profile_problems(helm, renderings):
    """Each profile, as (what is checked, problems)."""
    import profiles
    import yaml

    groups = yaml.safe_load((tools.CHART / "files" / "rules.yaml").read_text())["groups"]
    rules = {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}
    full = renderings["profile full"]
    import reachability

    everything = set(reachability.table(full))
    yield "files", profiles.file_problems(helm)
    yield "the path from one to the next", profiles.path_problems(renderings)
    yield "their checks can fail", profiles.can_fail_problems(full)
    for name, services in profiles.SERVICES.items():
        m = renderings[f"profile {name}"]
        yield f"{name}: services", profiles.service_problems(m, services)
        yield f"{name}: alerts", profiles.rule_problems(m, services, rules)
        yield f"{name}: who reaches whom", profiles.flow_problems(m, services, everything)
        yield f"{name}: senders wait for", profiles.backlog_problems(m, services)


def checksum_problems(helm):
    """A change restarts the pods that it is for, and no others."""
    from manifests import component

    def sums(*arguments):
        pods = render(helm, "defaults", *arguments).kind("Deployment", "StatefulSet")
        return {
            component(one["metadata"]["labels"]): one["spec"]["template"]["metadata"]["annotations"]
            for one in pods
            if one["spec"]["template"]["metadata"].get("annotations")
        }

    before = sums()
    changes = {
        "services.alert.config.slack.messages_per_minute=3": {"alert"},
        # Services read keys again while they run.
        "auth.write=shop key-of-the-shop-1": set(),
        "slack.webhookUrl=https://hooks.slack.com/x": {"alert"},
        "definitions.metrics.a\\.yaml=x": {"aggregation", "alert", "reporting"},
        "definitions.schemas.a\\.json=x": {"ingestion"},
        "jaeger.maxTraces=500": {"jaeger"},
        "config.telemetry.log=debug": {"ingestion", "enrichment", "aggregation", "alert", "recommendation", "reporting"},
        "podDisruptionBudget.enabled=true": set(),
    }
    for change, wanted in changes.items():
        after = sums("--set", change)
        found = {name for name in before if before[name] != after[name]}
        if found != wanted:
            yield f"{change} restarts {sorted(found)}, not {sorted(wanted)}"


def neighbour_problems(helm):
    """Two releases in one namespace share nothing."""
    from manifests import selects, title

    one, two = (render(helm, "defaults", release=name) for name in ("tidemill", "second"))
    names = {title(thing) for thing in one.objects}
    yield from (f"both have {title(thing)}" for thing in two.objects if title(thing) in names)
    for thing in one.objects:
        selector = thing["spec"].get("podSelector") or thing["spec"].get("selector") if "spec" in thing else None
        for _, labels, _ in two.pods() if selector else ():
            if selects(selector, labels):
                yield f"{title(thing)} selects the other release's pods"


def metric_problems():
    import exports

    names = exports.exported(tools.ROOT)
    yield from (f"{where} names {name}, which no service exports" for where, name in exports.named(tools.CHART) if name not in names)


def annotation_problems(helm):
    """Artifact Hub is told the images that are really used."""
    import yaml

    chart = yaml.safe_load((tools.CHART / "Chart.yaml").read_text())
    told = {one["image"] for one in yaml.safe_load(chart["annotations"]["artifacthub.io/images"])}
    used = {container["image"] for _, _, container in render(helm, "defaults").containers()}
    if told != used:
        yield f"Chart.yaml tells of {sorted(told - used)}, and not of {sorted(used - told)}"
    version = tomllib.loads((tools.ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    if chart["appVersion"] != version:
        yield f"appVersion is {chart['appVersion']}, and the workspace {version}"


def overlay_problems(helm, kubectl):
    """What kustomize makes of k8s/ is what the chart renders for the same values."""
    from importlib.machinery import SourceFileLoader
    from importlib.util import module_from_spec, spec_from_loader

    import overlays

    loader = SourceFileLoader("render", str(tools.ROOT / "scripts" / "render"))
    script = module_from_spec(spec_from_loader("render", loader))
    loader.exec_module(script)
    for name, values in {"": None, **script.OVERLAYS}.items():
        folder = script.K8S / "overlays" / name if values else script.K8S / "base"
        done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True)
        if done.returncode:
            yield f"{folder.name}: {done.stderr.strip()}"
            continue
        files = ("--values", str(tools.CHART / values)) if values else ()
        rendered = tools.objects(tools.template(helm, "--skip-tests", *script.SECRETS, *files))
        made, wanted = ({overlays.key(one): one for one in some} for some in (tools.objects(done.stdout), rendered))
        for key in {**made, **wanted}:
            if made.get(key) != wanted.get(key):
                yield f"{folder.name}: {key[1]} {key[2]} differs"


def skaffold_problems(helm, skaffold):
    """`skaffold render` gives the chart's objects."""
    with tempfile.TemporaryDirectory() as folder:
        # It asks helm for no version of Kubernetes, and helm's own default may be old.
        wrapper = Path(folder) / "helm"
        wrapper.write_text(
            f"""#!/bin/sh
for argument; do
  if [ "$argument" = template ]; then exec {shlex.quote(helm)} "$@" --kube-version {tools.KUBE_VERSION}; fi
done
exec {shlex.quote(helm)} "$@"
"""
        )
        wrapper.chmod(0o755)
        path = os.pathsep.join((folder, os.environ["PATH"]))
        yield from _skaffold_problems(helm, skaffold, {**os.environ, "PATH": path})


def _skaffold_problems(helm, skaffold, env):
    from manifests import title

    for profile, variant in (("", "defaults"), ("dev", "laptop"), ("ci", "ha")):
        command = [skaffold, "render", "--digest-source=tag", "--offline=true"]
        done = subprocess.run(
            [*command, *(["--profile", profile] if profile else [])], cwd=tools.ROOT, env=env,
            capture_output=True, text=True,
        )
        if done.returncode:
            yield f"{profile}: {done.stderr.strip()[-500:]}"
            continue
        made = {title(one) for one in tools.objects(done.stdout)}
        wanted = {title(one) for one in render(helm, variant).objects}
        yield from (f"profile {profile or '(none)'} does not give {name}" for name in sorted(wanted - made))
        yield from (f"profile {profile or '(none)'} gives {name} too" for name in sorted(made - wanted))


def mutation_problems(m):
    """Every check fails for what it is there for."""
    import copy

    import invariants
    import mutations
    import reachability
    from manifests import Manifests

    def failing(some):
        found = {check.__name__ for check in invariants.ALL if any(check(some))}
        if any(schema_problems(some, KUBERNETES[-1])):
            found.add("schema_problems")
        found |= {check.__name__ for check in (settings_problems, consumer_problems) if _fails(check, some)}
        if reachability.table(some) != flows:
            found.add("reachability")
        return found

    flows = reachability.table(m)
    sound = failing(m)
    for number, (name, mutate) in enumerate(mutations.ALL):
        mutated = Manifests(copy.deepcopy(m.objects), m.given)
        mutate(mutated)
        if name not in failing(mutated) - sound:
            yield f"mutation {number} is not noticed by {name}"


def _fails(check, m):
    try:
        return any(check(m))
    except KeyError:
        # What it looks at is gone, which is for another check to tell.
        return False


def main():
    report = Report()
    helm = tools.find_helm()
    if not helm:
        report.skip("the chart", "neither helm nor go is on PATH")
        return report.end()
    tools.use_packages()
    import invariants

    report.check("helm lint --strict", lint_problems(helm))
    renderings = {variant: render(helm, variant) for variant in VALUES}
    for variant, m in renderings.items():
        for version in KUBERNETES:
            report.check(f"{variant}: schemas of Kubernetes {version}", schema_problems(m, version))
        for invariant in invariants.ALL:
            report.check(f"{variant}: {invariant.__name__.replace('_', ' ')}", invariant(m))
        report.check(f"{variant}: settings", settings_problems(m))
        report.check(f"{variant}: consumers", consumer_problems(m))
    report.check("who reaches whom", reachability_problems(renderings))
    for what, problems in profile_problems(helm, renderings):
        report.check(f"profiles, {what}", problems)
    report.check("every check can fail", mutation_problems(renderings["keda"]))
    report.check("wrong values are refused", refusal_problems(helm))
    report.check("a change restarts whom it is for", checksum_problems(helm))
    report.check("two releases side by side", neighbour_problems(helm))
    report.check("rules and dashboard name what is exported", metric_problems())
    report.check("Artifact Hub", annotation_problems(helm))
    scan(report, helm)
    if kubectl := shutil.which("kubectl"):
        report.check("kustomize overlays", overlay_problems(helm, kubectl))
    else:
        report.skip("kustomize overlays", "kubectl is not on PATH")
    if skaffold := shutil.which("skaffold"):
        report.check("skaffold render", skaffold_problems(helm, skaffold))
    else:
        report.skip("skaffold render", "skaffold is not on PATH")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
