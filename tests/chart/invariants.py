"""What holds of every rendering. Each check yields what is wrong."""

import json
import re

from manifests import component, selects, title

SERVICES = ("ingestion", "enrichment", "aggregation", "alert", "recommendation", "reporting", "lake")
# Seconds: what tidemill_service::main takes at most to drain.
DRAIN = 20
# The keys that each service gets to see: of the roles that its routes need (docs/security.md).
ROLES = {
    "ingestion": {"write"},
    "enrichment": {"operate"},
    "aggregation": {"read", "operate"},
    "alert": {"read", "operate"},
    "recommendation": {"read", "operate"},
    "reporting": {"read", "operate"},
    "lake": {"read", "operate"},
}


# It keeps its image's own user: it refuses a folder that another user owns, as an earlier install's would be.
LOW_USERS = ("postgres",)


def containers_are_confined(m):
    for owner, spec, container in m.containers():
        name = f"{title(owner)} {container['name']}"
        pod, own = spec.get("securityContext", {}), container.get("securityContext", {})
        if not (pod.get("runAsNonRoot") and pod.get("runAsUser", 0) > 0):
            yield f"{name} may run as root"
        if pod.get("runAsUser", 0) <= 10000 and component(owner["metadata"]["labels"]) not in LOW_USERS:
            yield f"{name} runs as a user that a node may have too"
        if pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name} has no seccomp profile"
        if own.get("capabilities") != {"drop": ["ALL"]} or own.get("allowPrivilegeEscalation") is not False:
            yield f"{name} has privileges"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{name} can write to its root"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name} gets a token for the Kubernetes API"
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(field):
                yield f"{name} has {field}"


def containers_are_bounded(m):
    for owner, spec, container in m.containers():
        resources = container.get("resources", {})
        if not {"cpu", "memory"} <= set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
            yield f"{title(owner)} {container['name']} has no requests, or no limit of memory"
        for volume in spec.get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"] and volume["name"] != "more":
                yield f"{title(owner)}: volume {volume['name']} is unbounded"


def probes_are_there(m):
    for owner, _, container in m.containers():
        # A pod that ends by itself is not probed.
        if owner["kind"] in ("Pod", "CronJob", "Job"):
            continue
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if probe not in container:
                yield f"{title(owner)} has no {probe}"
        # Who asks for readiness to decide on life is killed for a dependency's outage.
        if container.get("livenessProbe", {}).get("httpGet", {}).get("path", "").startswith("/readyz"):
            yield f"{title(owner)} is killed for what it depends on"


def there_is_time_to_drain(m):
    for owner, _, spec in m.pods():
        if component(owner["metadata"]["labels"]) not in SERVICES:
            continue
        pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        if spec["terminationGracePeriodSeconds"] <= pause + DRAIN:
            yield f"{title(owner)} is killed before it has drained"


def selectors_match(m):
    pods = [(owner, labels) for owner, labels, _ in m.pods()]
    for one in m.objects:
        spec, kind = one.get("spec", {}), one["kind"]
        selector = spec.get("podSelector") if kind == "NetworkPolicy" else spec.get("selector")
        if selector is None:
            continue
        if kind in ("Deployment", "StatefulSet") and not selects(selector, spec["template"]["metadata"]["labels"]):
            yield f"{title(one)} does not select its own pods"
        found = {component(labels) for _, labels in pods if selects(selector, labels)}
        wanted = {component(one["metadata"]["labels"])}
        if wanted == {"default-deny"}:
            wanted = {component(labels) for _, labels in pods}
        elif wanted == {"metrics"}:
            wanted = {component(labels) for _, labels in pods} & set(SERVICES)
        if found != wanted:
            yield f"{title(one)} selects {sorted(found)}, not {sorted(wanted)}"


def ports_exist(m):
    for service in m.kind("Service"):
        for _, labels, spec in m.pods():
            if selects(service["spec"]["selector"], labels):
                names = {port["name"] for container in spec["containers"] for port in container.get("ports", [])}
                for port in service["spec"]["ports"]:
                    if port["targetPort"] not in names:
                        yield f"{title(service)} leads to port {port['targetPort']}, which nobody has"
    for owner, _, container in m.containers():
        names = {port["name"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            port = container.get(probe, {}).get("httpGet", {}).get("port")
            if port and port not in names:
                yield f"{title(owner)} is probed at {port}, which it has not"


def operations_are_in_no_service(m):
    """Metrics and probes have a port of their own, which who calls the API does not reach."""
    for service in m.kind("Service"):
        for port in service["spec"]["ports"]:
            if "operations" in (port["name"], port["targetPort"]):
                yield f"{title(service)} leads to the operations port"
    for owner, labels, spec in m.pods():
        if component(labels) not in SERVICES:
            continue
        container = spec["containers"][0]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if container.get(probe, {}).get("httpGet", {}).get("port") != "operations":
                yield f"{title(owner)} has a {probe} at the port of the API"


def references_exist(m):
    secrets, maps, accounts = m.named("Secret"), m.named("ConfigMap"), m.named("ServiceAccount")
    for owner, spec, container in m.containers():
        for env in container.get("env", []):
            secret = env.get("valueFrom", {}).get("secretKeyRef")
            if secret and secret["name"] not in m.given and secret["key"] not in secrets.get(secret["name"], {}).get("data", {}):
                yield f"{title(owner)} reads {secret['key']} of Secret {secret['name']}, which is not there"
        claims = {one["metadata"]["name"] for one in owner["spec"].get("volumeClaimTemplates", [])}
        volumes = {one["name"] for one in spec.get("volumes", [])} | claims
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{title(owner)} mounts {mount['name']}, which is not there"
    for owner, _, spec in m.pods():
        for volume in spec.get("volumes", []):
            for source in volume.get("projected", {}).get("sources", []):
                name, keys = source["secret"]["name"], {item["key"] for item in source["secret"]["items"]}
                if name not in m.given:
                    for key in sorted(keys - set(secrets.get(name, {}).get("data", {}))):
                        yield f"{title(owner)} mounts {key} of Secret {name}, which is not there"
            if "configMap" in volume and volume["configMap"]["name"] not in maps:
                yield f"{title(owner)} mounts ConfigMap {volume['configMap']['name']}, which is not there"
            name = volume.get("secret", {}).get("secretName")
            if name and name not in m.given:
                absent = {item["key"] for item in volume["secret"]["items"]} - set(secrets.get(name, {}).get("data", {}))
                yield from (f"{title(owner)} mounts {key} of Secret {name}, which is not there" for key in absent)
        if owner["kind"] != "Pod" and spec.get("serviceAccountName") not in accounts:
            yield f"{title(owner)} has no service account"
    for one in m.kind("StatefulSet"):
        if one["spec"]["serviceName"] not in m.named("Service"):
            yield f"{title(one)} has no service"


def services_see_the_keys_they_serve(m):
    for owner, labels, spec in m.pods():
        service = component(labels)
        if service not in ROLES or owner["kind"] == "Pod":
            continue
        volumes = {one["name"]: one.get("secret", {}) for one in spec["volumes"]}
        roles = {item["path"] for item in volumes.get("keys", {}).get("items", [])}
        if roles != ROLES[service] or any(item["key"] != item["path"] for item in volumes["keys"]["items"]):
            yield f"{title(owner)} sees the keys of {sorted(roles)}, not of {sorted(ROLES[service])}"
        if volumes["keys"].get("defaultMode", 0o644) & 0o007:
            yield f"{title(owner)} shows its keys to everybody in the pod"
        for env in spec["containers"][0]["env"]:
            if env["name"].startswith("TIDEMILL_AUTH__"):
                yield f"{title(owner)} has keys in its environment, which change only with a restart"


def keys_of_different_roles_differ(m):
    for one in m.kind("Secret"):
        keys = [one["data"][role] for role in ("write", "read", "operate") if role in one.get("data", {})]
        if len(set(keys)) != len(keys):
            yield f"{title(one)} gives two roles one key"


def one_autoscaler_owns_the_replicas(m):
    scaled = {}
    for one in m.kind("HorizontalPodAutoscaler", "ScaledObject"):
        target = one["spec"]["scaleTargetRef"]["name"]
        if target in scaled:
            yield f"{target} is scaled by {title(one)} and by {scaled[target]}"
        scaled[target] = title(one)
        spec = one["spec"]
        low, high = (spec.get(f"{end}Replicas") or spec.get(f"{end}ReplicaCount") for end in ("min", "max"))
        if not 1 <= low <= high:
            yield f"{title(one)} goes from {low} to {high}"
    deployments = m.named("Deployment")
    for target in scaled:
        if target not in deployments:
            yield f"{scaled[target]} scales {target}, which is not there"
        elif "replicas" in deployments[target]["spec"]:
            yield f"Deployment/{target} has replicas, and {scaled[target]} too"


def upgrades_keep_every_replica(m):
    for one in m.kind("Deployment"):
        if component(one["metadata"]["labels"]) in SERVICES:
            update = one["spec"]["strategy"].get("rollingUpdate")
            if update != {"maxUnavailable": 0, "maxSurge": 1}:
                yield f"{title(one)} does without a replica while it is upgraded"


def a_roll_out_spreads_anew(m):
    """Pods that a roll-out is about to remove, and nodes that are drained, must not count: else the new ones gather."""
    for one in m.kind("Deployment"):
        if component(one["metadata"]["labels"]) not in SERVICES:
            continue
        for constraint in one["spec"]["template"]["spec"].get("topologySpreadConstraints") or [{}]:
            if constraint.get("matchLabelKeys") != ["pod-template-hash"] or constraint.get("nodeTaintsPolicy") != "Honor":
                yield f"{title(one)} spreads with the pods of earlier versions, or over drained nodes"


def names_are_good(m):
    seen = set()
    for one in m.objects:
        name, labels = one["metadata"]["name"], one["metadata"].get("labels", {})
        if (one["kind"], name) in seen:
            yield f"{title(one)} is there twice"
        seen.add((one["kind"], name))
        if len(name) > 63 or not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name):
            yield f"{title(one)} has a bad name"
        if one["metadata"].get("namespace") != "tidemill":
            yield f"{title(one)} is in no namespace, or in a wrong one"
        for label in ("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component", "helm.sh/chart"):
            if label not in labels:
                yield f"{title(one)} has no label {label}"


# What takes a secret by environment: nats-server, which has no other way but its configuration, and the
# pod of `helm test`.
BY_ENVIRONMENT = {"NATS_PASSWORD", "TIDEMILL_WRITE_KEY", "TIDEMILL_READ_KEY"}


def secrets_come_as_files(m):
    """An environment is inherited by every child, and shown by many a crash report."""
    for owner, spec, container in m.containers():
        mounted = {
            item["path"]
            for volume in spec.get("volumes", [])
            for source in volume.get("projected", {}).get("sources", [])
            for item in source["secret"]["items"]
        }
        for env in container.get("env", []):
            if "secretKeyRef" in env.get("valueFrom", {}) and env["name"] not in BY_ENVIRONMENT:
                yield f"{title(owner)} has the secret {env['name']} in its environment"
            folder, _, file = env.get("value", "").rpartition("/")
            if folder == "/etc/tidemill/secrets" and file not in mounted:
                yield f"{title(owner)} reads {env['value']}, which is not mounted"
        for volume in spec.get("volumes", []):
            if "projected" in volume and volume["projected"].get("defaultMode") != 0o440:
                yield f"{title(owner)}: volume {volume['name']} is for more than its group to read"


def secrets_stay_in_secrets(m):
    rest = json.dumps([one for one in m.objects if one["kind"] != "Secret"])
    for value in m.secret_values():
        if value in rest:
            yield f"a secret that begins with {value[:3]} is told outside of a Secret"


ALL = (
    containers_are_confined,
    containers_are_bounded,
    probes_are_there,
    there_is_time_to_drain,
    selectors_match,
    ports_exist,
    operations_are_in_no_service,
    references_exist,
    services_see_the_keys_they_serve,
    keys_of_different_roles_differ,
    one_autoscaler_owns_the_replicas,
    upgrades_keep_every_replica,
    a_roll_out_spreads_anew,
    names_are_good,
    secrets_come_as_files,
    secrets_stay_in_secrets,
)
