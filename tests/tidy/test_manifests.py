"""The Kubernetes manifests: valid, and in step with the services' settings, ports and selectors."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tree import ROOT, refuse

from apportion.runtime import ServiceSettings

MANIFESTS = ROOT / "deploy/k8s"
BASE = MANIFESTS / "base"
SERVICES = ("platform-groups", "allocation", "fees", "risk", "auth-gateway")
SCHEMA_VERSION = "1.31"
Manifest = dict[str, Any]


@cache
def _manifests(folder: Path) -> tuple[tuple[Path, Manifest], ...]:
    return tuple(
        (path, document)
        for path in sorted(folder.rglob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if path.name != "kustomization.yaml"
    )


def _pods(service: str) -> list[tuple[str, Manifest]]:
    return [
        (f"{service}/{path.name}", document["spec"]["template"])
        for path, document in _manifests(BASE / service)
        if document["kind"] in {"Deployment", "Job"}
    ]


def _settings(service: str) -> type[ServiceSettings]:
    """The one settings class of a service."""
    module = importlib.import_module(f"apportion.{service.replace('-', '_')}.settings")
    [found] = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ServiceSettings) and value.__module__ == module.__name__
    ]
    return found


@pytest.mark.parametrize(("path", "document"), _manifests(MANIFESTS), ids=lambda value: getattr(value, "name", ""))
def test_manifest_fits_its_schema(path: Path, document: Manifest) -> None:
    kubernetes_validate.validate(document, SCHEMA_VERSION, strict=True)


def test_each_file_is_listed_in_its_kustomization() -> None:
    missing = []
    for kustomization in sorted((ROOT / "deploy/k8s").rglob("kustomization.yaml")):
        listed = set(yaml.safe_load(kustomization.read_text(encoding="utf-8"))["resources"])
        there = {p.name for p in kustomization.parent.iterdir() if p.suffix == ".yaml" and p != kustomization}
        there |= {p.name for p in kustomization.parent.iterdir() if (p / "kustomization.yaml").exists()}
        missing += [f"{kustomization}: {name}" for name in sorted(there - listed)]
        missing += [
            f"{kustomization}: {name} does not exist" for name in listed if not (kustomization.parent / name).exists()
        ]
    refuse(missing, "keep `resources` equal to what lies beside the kustomization")


@pytest.mark.parametrize("service", SERVICES)
def test_environment_is_the_services_settings(service: str) -> None:
    settings = _settings(service)
    prefix = service.upper().replace("-", "_") + "_"
    known = {prefix + name.upper() for name in settings.model_fields}
    required = {prefix + name.upper() for name, field in settings.model_fields.items() if field.is_required()}
    config = next(d for _, d in _manifests(BASE / service) if d["kind"] == "ConfigMap")["data"]
    findings = []
    for where, pod in _pods(service):
        for container in pod["spec"]["containers"]:
            given = {entry["name"] for entry in container["env"]} | set(config)
            findings += [f"{where}: {name} is no setting" for name in sorted(given - known)]
            findings += [f"{where}: {name} is missing" for name in sorted(required - given)]
    refuse(findings, "keep config.yaml and the env lists equal to the service's settings.py")


@pytest.mark.parametrize("service", SERVICES)
def test_selectors_ports_and_probes_meet(service: str) -> None:
    findings = []
    pods = [pod for _, pod in _pods(service)]
    labels = [pod["metadata"]["labels"].items() for pod in pods]
    ports = {port["name"] for pod in pods for c in pod["spec"]["containers"] for port in c.get("ports", [])}
    for path, document in _manifests(BASE / service):
        spec = document.get("spec", {})
        selector = spec.get("selector", {})
        wanted = selector.get("matchLabels", selector)
        if wanted and not any(wanted.items() <= pod for pod in labels):
            findings.append(f"{path.name}: selects no pod")
        if document["kind"] == "Service":
            findings += [f"{path.name}: port {p['targetPort']}" for p in spec["ports"] if p["targetPort"] not in ports]
    for where, pod in _pods(service):
        for container in pod["spec"]["containers"]:
            if container["args"] == ["migrate"]:
                continue
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if container[probe]["httpGet"]["port"] not in {p["name"] for p in container["ports"]}:
                    findings.append(f"{where}: {probe}")
    refuse(findings, "a selector must match a pod's labels, a target or probe port a container's port name")


@pytest.mark.parametrize("service", SERVICES)
def test_pods_are_restricted(service: str) -> None:
    findings = []
    for where, pod in _pods(service):
        spec = pod["spec"]
        if not spec["securityContext"]["runAsNonRoot"] or spec["automountServiceAccountToken"]:
            findings.append(f"{where}: runs as root or mounts a token")
        for container in spec["containers"]:
            context = container["securityContext"]
            if context["allowPrivilegeEscalation"] or not context["readOnlyRootFilesystem"]:
                findings.append(f"{where}: may escalate or write")
            if context["capabilities"]["drop"] != ["ALL"] or "memory" not in container["resources"]["limits"]:
                findings.append(f"{where}: capabilities or limits")
    refuse(findings, "keep every pod at the restricted pod security standard, with a memory limit")


def test_the_ingress_fits_the_gateway() -> None:
    """Only what rooms and browsers call, never in clear, with the published header names."""
    ingress = next(d for _, d in _manifests(BASE / "auth-gateway") if d["kind"] == "Ingress")
    [rule] = ingress["spec"]["rules"]
    assert {path["path"] for path in rule["http"]["paths"]} == {"/dx", "/redirect"}
    assert rule["host"] in ingress["spec"]["tls"][0]["hosts"]
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/ssl-redirect"] == "false"
    [(_, controller)] = _manifests(MANIFESTS / "ingress-nginx")
    assert controller["data"] == {"enable-underscores-in-headers": "true"}
    config = next(d for _, d in _manifests(BASE / "auth-gateway") if d["kind"] == "ConfigMap")["data"]
    assert float(config["AUTH_GATEWAY_HEAD_SECONDS"]) > 60
    assert config["AUTH_GATEWAY_PROXIES"]


def test_network_policies_follow_who_calls_whom() -> None:
    calls = importlib.import_module("apportion.devstack.stack").CALLS
    findings = []
    for service in SERVICES:
        policy = next(d for _, d in _manifests(BASE / service) if d["kind"] == "NetworkPolicy")["spec"]
        allowed = {
            peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
            for rule in policy["egress"]
            for peer in rule.get("to", [])
            if "app.kubernetes.io/name" in peer.get("podSelector", {}).get("matchLabels", {})
        }
        if allowed != set(calls[service]):
            findings.append(f"{service}: may call {sorted(allowed)}, calls {sorted(calls[service])}")
    refuse(findings, "keep network.yaml equal to whom the service really calls")
