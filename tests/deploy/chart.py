"""The Helm chart, rendered by Helm itself: what Kubernetes would be given for some values."""

from typing import Any

import helm_python as helm
import yaml

from tests.docs.pages import ROOT

CHART = ROOT / "deploy" / "helm" / "quickeye"
NAMESPACE = "pictures"

Manifest = dict[str, Any]

# Sets of values that people use; each is rendered, linted and validated.
MONITORED = {
    "serviceMonitor": {"enabled": True, "labels": {"release": "monitoring"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "monitoring"}},
    "dashboards": {"enabled": True},
}
VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "monitored": MONITORED,
    "own_store": {
        "store": {"existingClaim": "bundles", "subPath": "store"},
        "keys": {"existingSecret": "quickeye-keys"},
        "settings": {"models": ["shoes", "hats/2"], "max_image_pixels": 12_000_000, "max_queue_wait_ms": 200.5},
        "image": {"repository": "registry.example/quickeye", "tag": "0.1.0"},
        "imagePullSecrets": [{"name": "registry"}],
    },
    "scaled": {
        "autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 30},
        "podDisruptionBudget": {"maxUnavailable": "20%"},
        "networkPolicy": {
            "ingressFrom": [{"namespaceSelector": {"matchLabels": {"team": "web"}}}],
            "egress": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}],
        },
    },
    "scaled_by_queue": {"autoscaling": {"enabled": True, "inflightImages": 0}},
    "gpu": {
        "gpu": {"enabled": True, "runtimeClassName": "nvidia"},
        "store": {"existingClaim": "bundles"},
        "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
        "startupSeconds": 900,
        "nodeSelector": {"accelerator": "nvidia"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    },
    "quick_end": {"drain": {"preStopSeconds": 0, "graceSeconds": 0, "timeoutSeconds": 3}, "replicas": 1},
    "slow_end": {"drain": {"preStopSeconds": 20, "graceSeconds": 15, "timeoutSeconds": 120}},
    "bare": {
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "topologySpread": [],
        "fullnameOverride": "pictures",
        "service": {"type": "LoadBalancer", "port": 80},
        "extraEnv": [{"name": "FORWARDED_ALLOW_IPS", "value": "192.0.2.1"}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "podAnnotations": {"a.example/b": "c"},
        "podLabels": {"team": "web"},
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
    },
}


def rendered(values: dict[str, Any], name: str = "demo") -> list[Manifest]:
    """Every object, with the hook of ``helm test``.

    Raises:
        helm.HelmError: values that the schema refuses, or a template that fails.
    """
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values, name=name, namespace=NAMESPACE)
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    return [manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest]


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def the(manifests: list[Manifest], kind: str) -> Manifest:
    """The one object of a kind."""
    (manifest,) = of_kind(manifests, kind)
    return manifest


def server_of(manifests: list[Manifest]) -> Manifest:
    """The server's container."""
    (container,) = the(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def environment(container: Manifest) -> dict[str, str]:
    """Its variables that have plain values."""
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}
