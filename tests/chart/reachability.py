"""Who reaches whom, worked out from rendered NetworkPolicies as Kubernetes reads them."""

import ipaddress

from manifests import component, selects

# Who is not a part of the release: name to (namespace, labels, address), and where they listen.
OUTSIDE = {
    "prometheus": ("monitoring", {}, None),
    "keda": ("keda", {}, None),
    "gateway": ("gateway", {}, None),
    "ingress": ("ingress-nginx", {}, None),
    "neighbour": ("tidemill", {"app.kubernetes.io/name": "tidemill", "app.kubernetes.io/instance": "other"}, None),
    "stranger": ("elsewhere", {}, None),
    "dns": ("kube-system", {}, None),
    "internet": (None, {}, "203.0.113.7"),
    "private-network": (None, {}, "10.9.8.7"),
}
LISTENS = {
    "dns": [("UDP", 53), ("TCP", 53)],
    "neighbour": [("TCP", 4222), ("TCP", 5432)],
    "stranger": [("TCP", 8080)],
    "internet": [("TCP", 80), ("TCP", 443), ("TCP", 4222), ("TCP", 4317), ("TCP", 6432)],
    "private-network": [("TCP", 443)],
}
# A port that nobody means to open: it shows rules that are too wide.
CANARY = ("TCP", 9999)


def _peer_matches(peer, who, namespace):
    space, labels, address = who
    if "ipBlock" in peer:
        # Pods may have any address; the policies here never mean them by address.
        if address is None:
            return False
        block = peer["ipBlock"]
        inside = ipaddress.ip_address(address) in ipaddress.ip_network(block["cidr"])
        return inside and not any(
            ipaddress.ip_address(address) in ipaddress.ip_network(one) for one in block.get("except", [])
        )
    if address is not None:
        return False
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": space}):
            return False
    elif space != namespace:
        return False
    return "podSelector" not in peer or selects(peer["podSelector"], labels)


def _allowed(policies, way, pod, other, port, namespace):
    """Whether `pod` may speak to (Egress) or be spoken to by (Ingress) `other` at a port."""
    field, peers = ("ingress", "from") if way == "Ingress" else ("egress", "to")
    mine = [
        one["spec"] for one in policies if way in one["spec"]["policyTypes"] and selects(one["spec"]["podSelector"], pod[1])
    ]
    if not mine:
        return True
    for spec in mine:
        for rule in spec.get(field, []):
            ports = [(one.get("protocol", "TCP"), one["port"]) for one in rule.get("ports", [])]
            if ports and port not in ports:
                continue
            if not rule.get(peers) or any(_peer_matches(peer, other, namespace) for peer in rule[peers]):
                return True
    return False


def table(m, namespace="tidemill"):
    """Every connection that is possible with a part of the release at one end, as lines `from -> to:port`."""
    policies = m.kind("NetworkPolicy")
    everybody, listens = dict(OUTSIDE), {name: [*ports, CANARY] for name, ports in LISTENS.items()}
    ours = {}
    for _, labels, spec in m.pods():
        name = component(labels)
        ours[name] = everybody[name] = (namespace, labels, None)
        ports = [("TCP", port["containerPort"]) for one in spec["containers"] for port in one.get("ports", [])]
        listens[name] = [*ports, CANARY]
    lines = []
    for source, who in everybody.items():
        for target, whom in everybody.items():
            if source == target and source not in ("nats",) or not {source, target} & set(ours):
                continue
            for port in listens.get(target, []):
                out = source not in ours or _allowed(policies, "Egress", who, whom, port, namespace)
                into = target not in ours or _allowed(policies, "Ingress", whom, who, port, namespace)
                if out and into:
                    lines.append(f"{source} -> {target}:{port[1]}" + ("/udp" if port[0] == "UDP" else ""))
    return sorted(lines)
