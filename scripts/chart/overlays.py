"""kustomize overlays that turn one rendering of the chart into another."""

import yaml

KUSTOMIZATION = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"


class _Text(str):
    """A text of several lines, written as a block."""


yaml.SafeDumper.add_representer(
    _Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
)


def dump(value):
    return yaml.dump(_blocks(value), Dumper=yaml.SafeDumper, sort_keys=False, width=110)


def _blocks(value):
    if isinstance(value, dict):
        return {key: _blocks(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_blocks(one) for one in value]
    return _Text(value) if isinstance(value, str) and "\n" in value else value


def key(one):
    return (one["apiVersion"], one["kind"], one["metadata"]["name"])


def operations(old, new, path=""):
    """The JSON patch (RFC 6902) from one value to another; lists of another length are replaced."""
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for name in {**old, **new}:
            place = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
            if name not in new:
                found.append({"op": "remove", "path": place})
            elif name not in old:
                found.append({"op": "add", "path": place, "value": new[name]})
            else:
                found += operations(old[name], new[name], place)
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [one for i, pair in enumerate(zip(old, new)) for one in operations(*pair, f"{path}/{i}")]
    return [{"op": "replace", "path": path, "value": new}]


def overlay(base, wanted, comment):
    """The files of an overlay over ../../base, by name."""
    old, new = ({key(one): one for one in objects} for objects in (base, wanted))
    patches = []
    for name, one in old.items():
        if name not in new:
            version, kind, _ = name
            named = {field: one["metadata"][field] for field in ("name", "namespace")}
            gone = {"apiVersion": version, "kind": kind, "metadata": named, "$patch": "delete"}
            patches.append({"patch": dump(gone)})
        elif steps := operations(one, new[name]):
            group, _, version = name[0].rpartition("/")
            target = {**({"group": group} if group else {}), "version": version, "kind": name[1], "name": name[2]}
            patches.append({"target": target, "patch": dump(steps)})
    added = [one for name, one in new.items() if name not in old]
    files = {}
    resources = ["../../base"]
    if added:
        resources.append("added.yaml")
        files["added.yaml"] = comment + "---\n".join(map(dump, added))
    files["kustomization.yaml"] = comment + KUSTOMIZATION + dump({"resources": resources, "patches": patches})
    return files
