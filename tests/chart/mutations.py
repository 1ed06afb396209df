"""Faults put into a rendering on purpose: each has to be noticed by the check that is named.

A check that nothing can fail would pass for ever.
"""


def _pod(m, component="alert"):
    return m.named("Deployment")[f"tidemill-{component}"]["spec"]["template"]["spec"]


def _container(m):
    return _pod(m)["containers"][0]


def _secrets(m):
    return next(volume for volume in _pod(m)["volumes"] if volume["name"] == "secrets")["projected"]


def _keys(m):
    return next(one["secret"]["items"] for one in _pod(m)["volumes"] if one["name"] == "keys")


def _auth(m):
    return m.named("Secret")["tidemill-auth"]["data"]


def _drop(m, kind, name):
    m.objects.remove(m.named(kind)[name])


ALL = (
    ("containers_are_confined", lambda m: _container(m)["securityContext"].pop("readOnlyRootFilesystem")),
    ("containers_are_confined", lambda m: _pod(m)["securityContext"].update(runAsUser=0)),
    ("containers_are_confined", lambda m: _pod(m).pop("automountServiceAccountToken")),
    ("containers_are_bounded", lambda m: _container(m)["resources"].pop("limits")),
    ("probes_are_there", lambda m: _container(m).pop("startupProbe")),
    ("probes_are_there", lambda m: _container(m)["livenessProbe"]["httpGet"].update(path="/readyz")),
    ("there_is_time_to_drain", lambda m: _pod(m).update(terminationGracePeriodSeconds=20)),
    ("selectors_match", lambda m: m.named("Service")["tidemill-alert"]["spec"]["selector"].popitem()),
    ("ports_exist", lambda m: m.named("Service")["tidemill-alert"]["spec"]["ports"][0].update(targetPort="htp")),
    ("operations_are_in_no_service", lambda m: m.named("Service")["tidemill-alert"]["spec"]["ports"][0].update(targetPort="operations")),
    ("operations_are_in_no_service", lambda m: _container(m)["livenessProbe"]["httpGet"].update(port="http")),
    ("references_exist", lambda m: _drop(m, "Secret", "tidemill-postgres")),
    ("references_exist", lambda m: _drop(m, "ConfigMap", "tidemill-alert")),
    ("references_exist", lambda m: _drop(m, "ServiceAccount", "tidemill-alert")),
    ("references_exist", lambda m: _drop(m, "Secret", "tidemill-auth")),
    ("services_see_the_keys_they_serve", lambda m: _keys(m).append({"key": "write", "path": "write"})),
    ("services_see_the_keys_they_serve", lambda m: _keys(m)[0].update(key="write")),
    ("services_see_the_keys_they_serve", lambda m: _container(m)["env"].append({"name": "TIDEMILL_AUTH__READ", "value": "x"})),
    ("keys_of_different_roles_differ", lambda m: _auth(m).update(read=_auth(m)["write"])),
    ("one_autoscaler_owns_the_replicas", lambda m: m.named("Deployment")["tidemill-alert"]["spec"].update(replicas=2)),
    ("one_autoscaler_owns_the_replicas", lambda m: _drop(m, "Deployment", "tidemill-alert")),
    ("upgrades_keep_every_replica", lambda m: m.named("Deployment")["tidemill-alert"]["spec"]["strategy"].update(type="Recreate", rollingUpdate=None)),
    ("a_roll_out_spreads_anew", lambda m: _pod(m)["topologySpreadConstraints"][0].pop("matchLabelKeys")),
    ("a_roll_out_spreads_anew", lambda m: _pod(m).pop("topologySpreadConstraints")),
    ("names_are_good", lambda m: m.objects.append(m.named("Service")["tidemill-alert"])),
    ("containers_are_confined", lambda m: _pod(m)["securityContext"].update(runAsUser=1000)),
    ("references_exist", lambda m: _secrets(m)["sources"][0]["secret"]["items"][0].update(key="nobody-made")),
    ("secrets_come_as_files", lambda m: _secrets(m).update(defaultMode=0o444)),
    ("secrets_come_as_files", lambda m: _secrets(m)["sources"].pop()),
    ("secrets_come_as_files", lambda m: _container(m)["env"].append(
        {"name": "X", "valueFrom": {"secretKeyRef": {"name": "tidemill-nats", "key": "nats-password"}}})),
    ("secrets_stay_in_secrets", lambda m: m.named("ConfigMap")["tidemill-alert"]["data"].update(x=next(iter(m.secret_values())))),
    ("schema_problems", lambda m: m.named("Deployment")["tidemill-alert"]["spec"].update(replica=2)),
    ("consumer_problems", lambda m: m.named("ScaledObject")["tidemill-alert"]["spec"]["triggers"][0]["metadata"].update(consumer="alerts-0")),
    ("settings_problems", lambda m: _container(m)["env"].append({"name": "TIDEMILL_SLACK__WEBHOOK", "value": "x"})),
    ("reachability", lambda m: m.named("NetworkPolicy")["tidemill-nats"]["spec"]["ingress"][0].pop("from")),
    ("reachability", lambda m: _drop(m, "NetworkPolicy", "tidemill-default-deny") or _drop(m, "NetworkPolicy", "tidemill-postgres")),
)
