#!/usr/bin/env python3
"""Holds the manifests of config/kubernetes to Kubernetes' own schemas and to what those leave open, and makes a pod of
them that podman can play.

There is no API server in the tests, so that this reads what `kubectl kustomize` makes: schemas of several versions, in
which unknown keys are errors; the values of enumerations, which the schemas do not list; the profile "restricted" of the
Pod Security Standards; and that what names something names what is there.
"""

import argparse
import copy
import re
import sys

import kubernetes_validate
import yaml

NATIVE = ["1.28", "1.29", "1.33", "1.37"]
BEFORE = ["1.25", "1.27"]
# What must be one of these, wherever it stands (core/v1 and apps/v1).
ENUMERATIONS = {
    "restartPolicy": {"Always", "OnFailure", "Never"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "protocol": {"TCP", "UDP", "SCTP"},
    "scheme": {"HTTP", "HTTPS"},
    "dnsPolicy": {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"},
}
HARMLESS_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret", "name",
}
NO_SCHEMA = {"PodMonitor"}


class Wrong(Exception):
    """What does not hold, in a sentence."""


def must(holds, what):
    if not holds:
        raise Wrong(what)


def read(path):
    with open(path, encoding="utf-8") as file:
        return [document for document in yaml.safe_load_all(file) if document]


def only(documents, kind):
    found = [document for document in documents if document["kind"] == kind]
    must(len(found) == 1, f"there is one {kind}: {len(found)}")
    return found[0]


def is_valid(documents, version):
    """Whether the schemas of that version know all of it."""
    try:
        for document in documents:
            if document["kind"] not in NO_SCHEMA:
                kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return False, error.message
    return True, ""


def enumerations(value, path=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            allowed = ENUMERATIONS.get(key)
            must(allowed is None or inner in allowed, f"{path}.{key} is {inner!r}")
            enumerations(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            enumerations(inner, f"{path}[{index}]")


def restricted(spec):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        must(not spec.get(key), f"{key} is not set")
    for volume in spec.get("volumes", []):
        must(set(volume) <= HARMLESS_VOLUMES, f"volume {volume} is of a kind that is allowed")
    of_pod = spec.get("securityContext", {})
    for container in spec.get("initContainers", []) + spec["containers"]:
        own, name = container.get("securityContext", {}), container["name"]
        must(own.get("allowPrivilegeEscalation") is False, f"{name}: allowPrivilegeEscalation is false")
        must(not own.get("privileged"), f"{name}: not privileged")
        must(own.get("runAsNonRoot", of_pod.get("runAsNonRoot")) is True, f"{name}: runAsNonRoot is true")
        must(own.get("runAsUser", of_pod.get("runAsUser")) != 0, f"{name}: runAsUser is not 0")
        capabilities = own.get("capabilities", {})
        must(capabilities.get("drop") == ["ALL"], f"{name}: drops all capabilities")
        must(set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"}, f"{name}: adds no capability")
        profile = own.get("seccompProfile", of_pod.get("seccompProfile", {}))
        must(profile.get("type") in ("RuntimeDefault", "Localhost"), f"{name}: has a seccomp profile")
        must(not any("hostPort" in port for port in container.get("ports", [])), f"{name}: has no hostPort")


def sidecar(spec):
    containers = spec.get("initContainers", []) + spec["containers"]
    found = [container for container in containers if container["name"] == "staleguard"]
    must(len(found) == 1, "there is one container staleguard")
    return found[0]


def seconds(command, flag):
    value = command[command.index(flag) + 1]
    must(re.fullmatch(r"\d+s", value), f"{flag} {value} is in seconds")
    return int(value[:-1])


def admitted(policy, labels, ports):
    """Everybody reaches Staleguard, one namespace its admin listener, and nobody anything else."""
    selector = policy["podSelector"].get("matchLabels", {})
    must(selector and selector.items() <= labels.items(), f"the NetworkPolicy selects the pod: {selector}")
    must(policy["policyTypes"] == ["Ingress"], "it is about what comes in")
    let_in = {}
    for rule in policy["ingress"]:
        must(rule.get("ports"), "each rule of the NetworkPolicy names its ports")
        for port in rule["ports"]:
            must(port["protocol"] == "TCP" and "endPort" not in port, "one port at a time")
            let_in.setdefault(port["port"], []).extend(rule.get("from", [{}]))
    must(let_in.keys() == {ports["http"], ports["admin"]}, f"nothing else is let in: {sorted(let_in)}")
    must(let_in[ports["http"]] == [{}], "everybody reaches Staleguard")
    for peer in let_in[ports["admin"]]:
        must(set(peer) == {"namespaceSelector"}, f"a namespace, and no label that this kustomization adds: {peer}")
        must(peer["namespaceSelector"].get("matchLabels"), "one namespace reaches the admin listener, not all")


def coherent(documents):
    """What names something names what is there, and the times leave room for each other."""
    deployment, service = only(documents, "Deployment"), only(documents, "Service")
    config, monitor = only(documents, "ConfigMap"), only(documents, "PodMonitor")
    must(deployment["spec"]["replicas"] == 1, "there is one replica")
    must(deployment["spec"]["strategy"]["type"] == "Recreate", "there are never two, in a roll-out either")
    template = deployment["spec"]["template"]
    spec, labels = template["spec"], template["metadata"]["labels"]
    must(spec.get("automountServiceAccountToken") is False, "there is no token of the cluster in the pod")
    for what, selector in [
        ("Deployment", deployment["spec"]["selector"]["matchLabels"]),
        ("Service", service["spec"]["selector"]),
        ("PodMonitor", monitor["spec"]["selector"]["matchLabels"]),
    ]:
        must(selector and selector.items() <= labels.items(), f"the {what} selects the pod: {selector}")
    proxy = sidecar(spec)
    ports = {port["name"]: port["containerPort"] for port in proxy["ports"]}
    toml = config["data"]["staleguard.toml"]
    for section, name in [("listen", "http"), ("admin", "admin")]:
        address = re.search(rf"\[{section}\][^\[]*?^address = \"0\.0\.0\.0:(\d+)\"", toml, re.M | re.S)
        must(address and int(address[1]) == ports[name], f"[{section}] listens on the port {name}")
    must(service["spec"]["ports"][0]["targetPort"] == "http", "the Service leads to Staleguard")
    must(monitor["spec"]["podMetricsEndpoints"][0]["port"] == "admin", "the PodMonitor asks the admin listener")
    admitted(only(documents, "NetworkPolicy")["spec"], labels, ports)
    for probe, path in [("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")]:
        must(proxy[probe]["httpGet"] == {"path": path, "port": "admin"}, f"{probe} asks {path}")
    folders = {mount["mountPath"]: mount for mount in proxy["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    must(proxy["args"] == ["run", "--config", "/etc/staleguard/staleguard.toml"], "it reads the ConfigMap's file")
    mount = folders["/etc/staleguard"]
    must(volumes[mount["name"]]["configMap"]["name"] == config["metadata"]["name"], "that is the ConfigMap's")
    must("subPath" not in mount, "a folder is mounted, in which a change is seen")
    state = re.search(r"^state-dir = \"([^\"]+)\"", toml, re.M)
    must(state and "emptyDir" in volumes[folders[state[1]]["name"]], "state-dir is an emptyDir")
    must(f"token-file = \"{state[1]}/" in toml, "the token is in a folder that can be written")
    must(proxy["securityContext"]["readOnlyRootFilesystem"] is True, "and nothing else can be")
    drain = proxy["lifecycle"]["preStop"]["exec"]["command"]
    must(drain[:4] == ["/staleguard", "drain", "--config", "/etc/staleguard/staleguard.toml"], "preStop drains")
    notice, wait = seconds(drain, "--after"), seconds(drain, "--wait")
    must(wait > 25, "preStop waits for longer than drain-timeout")
    lrs = [container for container in spec["containers"] if container["name"] == "lrs"][0]
    outlives = int(lrs["lifecycle"]["preStop"]["exec"]["command"][1])
    must(notice < outlives, "the LRS is there until Staleguard drains")
    must(notice + wait < spec["terminationGracePeriodSeconds"], "the grace period holds all of it")


def check(native, before):
    for name, documents in [("base", native), ("before-1.28", before)]:
        enumerations(documents, name)
        spec = only(documents, "Deployment")["spec"]["template"]["spec"]
        restricted(spec)
        coherent(documents)
        for version in NATIVE + (BEFORE if name != "base" else []):
            valid, what = is_valid(documents, version)
            must(valid, f"{name} is valid for {version}: {what}")
    # A schema that says yes to everything would say so here too.
    for version in BEFORE:
        valid, what = is_valid(native, version)
        must(not valid and "restartPolicy" in what, f"base, with its native sidecar, is not valid for {version}: {what}")
    spec = only(native, "Deployment")["spec"]["template"]["spec"]
    must(spec["initContainers"][0].get("restartPolicy") == "Always", "base has a native sidecar")
    spec = only(before, "Deployment")["spec"]["template"]["spec"]
    names = [container["name"] for container in spec["containers"]]
    must("initContainers" not in spec and sorted(names) == ["lrs", "staleguard"], "the overlay has two containers")
    # What is left of the sidecar is the same.
    both = [copy.deepcopy(sidecar(only(documents, "Deployment")["spec"]["template"]["spec"])) for documents in (native, before)]
    both[0].pop("restartPolicy")
    must(both[0] == both[1], "the overlay changes nothing else of the sidecar")


def without(documents, change):
    """A copy of the manifests with a mistake in it."""
    documents = copy.deepcopy(documents)
    change(documents)
    return documents


def mistakes(native, before):
    """Each of these must be found, or the check checks nothing."""

    def spec(documents):
        return only(documents, "Deployment")["spec"]["template"]["spec"]

    def proxy(documents):
        return sidecar(spec(documents))

    def policy(documents):
        return only(documents, "NetworkPolicy")["spec"]

    from_all = {"from": [{"namespaceSelector": {}}]}
    made = {
        "restartPolicy: Sometimes": lambda d: proxy(d).update(restartPolicy="Sometimes"),
        "restartPolcy": lambda d: proxy(d).update(restartPolcy=proxy(d).pop("restartPolicy")),
        "no sidecar": lambda d: proxy(d).pop("restartPolicy"),
        "privilege escalation": lambda d: proxy(d)["securityContext"].pop("allowPrivilegeEscalation"),
        "a capability": lambda d: proxy(d)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
        "as root": lambda d: proxy(d)["securityContext"].update(runAsUser=0),
        "a host path": lambda d: spec(d)["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
        "two replicas": lambda d: only(d, "Deployment")["spec"].update(replicas=2),
        "a rolling update": lambda d: only(d, "Deployment")["spec"]["strategy"].update(type="RollingUpdate"),
        "a short grace period": lambda d: spec(d).update(terminationGracePeriodSeconds=30),
        "a probe of the LRS": lambda d: proxy(d)["livenessProbe"]["httpGet"].update(path="/xapi/about"),
        "a Service of the LRS": lambda d: only(d, "Service")["spec"]["ports"][0].update(targetPort=8000),
        "no policy": lambda d: d.remove(only(d, "NetworkPolicy")),
        "a policy for others": lambda d: policy(d)["podSelector"].update(matchLabels={"x": "y"}),
        "the admin listener for all": lambda d: policy(d)["ingress"][1].pop("from"),
        "the admin listener for all namespaces": lambda d: policy(d)["ingress"][1].update(from_all),
        "the LRS for all": lambda d: policy(d)["ingress"][0]["ports"][0].update(port=8000),
        "one more port": lambda d: policy(d)["ingress"][0]["ports"].append({"protocol": "TCP", "port": 8000}),
        "a key that policies do not have": lambda d: policy(d).update(ingres=[]),
        "a monitor of others": lambda d: only(d, "PodMonitor")["spec"]["selector"].update(matchLabels={"x": "y"}),
    }
    for name, change in made.items():
        try:
            check(without(native, change), before)
        except Wrong:
            continue
        raise Wrong(f"this mistake is found: {name}")
    return len(made)


def pod(before, proxy_image, lrs_image):
    """A pod for podman, which knows no hooks, asks no probe without a shell, and maps ports only between networks."""
    config = copy.deepcopy(only(before, "ConfigMap"))
    spec = copy.deepcopy(only(before, "Deployment")["spec"]["template"]["spec"])
    toml = config["data"]["staleguard.toml"]
    # The stand-in carries out a write within some milliseconds, or never.
    config["data"]["staleguard.toml"] = toml.replace("[upstream]\n", "[upstream]\nsettle-time = \"2s\"\n", 1)
    for container in spec["containers"]:
        for key in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports"):
            container.pop(key, None)
        is_lrs = container["name"] == "lrs"
        container["image"] = lrs_image if is_lrs else proxy_image
        container["imagePullPolicy"] = "Never"
        if is_lrs:
            container["args"] = [
                "--as", "learning-locker", "--listen", "127.0.0.1:8000", "--pause", "20", "--journal",
            ]
    spec["restartPolicy"] = "Never"
    # A pod's metadata is not the Deployment's.
    return [config, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lrs"}, "spec": spec}]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--native", required=True, help="what kubectl kustomize makes of base")
    parser.add_argument("--before", required=True, help="what it makes of before-1.28")
    parser.add_argument("--pod", help="where to write the pod for podman")
    parser.add_argument("--proxy-image")
    parser.add_argument("--lrs-image")
    parser.add_argument("--drain", help="where to write the command of preStop, a word a line")
    arguments = parser.parse_args()
    native, before = read(arguments.native), read(arguments.before)
    try:
        check(native, before)
        found = mistakes(native, before)
    except Wrong as wrong:
        print(f"manifests: this does not hold: {wrong}", file=sys.stderr)
        return 1
    print(f"manifests: valid, restricted and coherent; {found} mistakes that were put in were found", file=sys.stderr)
    if arguments.pod:
        with open(arguments.pod, "w", encoding="utf-8") as file:
            yaml.safe_dump_all(pod(before, arguments.proxy_image, arguments.lrs_image), file)
    if arguments.drain:
        spec = only(before, "Deployment")["spec"]["template"]["spec"]
        with open(arguments.drain, "w", encoding="utf-8") as file:
            file.write("\n".join(sidecar(spec)["lifecycle"]["preStop"]["exec"]["command"]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
