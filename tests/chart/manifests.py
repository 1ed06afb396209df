"""What a rendering of the chart consists of, and how its objects refer to each other."""

import base64


class Manifests:
    """The objects of one rendering. `given` names the Secrets that the user brings along."""

    def __init__(self, objects, given=()):
        self.objects = objects
        self.given = set(given)

    def kind(self, *kinds):
        return [one for one in self.objects if one["kind"] in kinds]

    def pods(self):
        """Every pod that the objects stand for, as (owner, labels, spec)."""
        for one in self.kind("Deployment", "StatefulSet", "Job"):
            template = one["spec"]["template"]
            yield one, template["metadata"].get("labels", {}), template["spec"]
        for one in self.kind("CronJob"):
            template = one["spec"]["jobTemplate"]["spec"]["template"]
            yield one, template["metadata"].get("labels", {}), template["spec"]
        for one in self.kind("Pod"):
            yield one, one["metadata"].get("labels", {}), one["spec"]

    def named(self, kind):
        return {one["metadata"]["name"]: one for one in self.kind(kind)}

    def containers(self):
        for owner, _, spec in self.pods():
            for container in spec.get("initContainers", []) + spec["containers"]:
                yield owner, spec, container

    def secret_values(self):
        for secret in self.kind("Secret"):
            for text in secret.get("data", {}).values():
                yield base64.b64decode(text).decode()
            yield from secret.get("stringData", {}).values()


def title(one):
    return f"{one['kind']}/{one['metadata']['name']}"


def component(labels):
    return labels.get("app.kubernetes.io/component")


def selects(selector, labels):
    """Whether a label selector, or the plain map of a Service, matches."""
    plain = "matchLabels" not in selector and "matchExpressions" not in selector
    wanted = selector if plain else selector.get("matchLabels", {})
    if any(labels.get(name) != value for name, value in wanted.items()):
        return False
    for one in () if plain else selector.get("matchExpressions", []):
        value, values = labels.get(one["key"]), one.get("values", [])
        holds = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": one["key"] in labels,
            "DoesNotExist": one["key"] not in labels,
        }
        if not holds[one["operator"]]:
            return False
    return True
