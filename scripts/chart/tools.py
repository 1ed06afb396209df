"""helm and the Python packages that the chart's scripts and tests use.

Both go to the private folder of scripts/provision. helm is the one on PATH (or
in $HELM) where there is one; otherwise it is built from its Go module, pinned
in helm/go.sum, where there is Go. Without either, what needs it is skipped.
"""

import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CHART = ROOT / "helm" / "tidemill"
REQUIREMENTS = ROOT / "tests" / "chart" / "requirements.txt"
# The oldest Kubernetes that the chart is for, which decides what it renders.
KUBE_VERSION = "1.30.0"


def _provision():
    """scripts/provision as a module."""
    # Nothing may be left beside it.
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("provision", str(ROOT / "scripts" / "provision"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("provision", loader))
    loader.exec_module(module)
    return module


provision = _provision()


def use_packages():
    """Makes the pinned Python packages importable."""

    def fill(folder):
        provision.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-compile", "--only-binary=:all:",
             "--require-hashes", "--disable-pip-version-check", "--target", str(folder), "-r", str(REQUIREMENTS)],
            "installing the packages of tests/chart/requirements.txt",
            env={**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"},
        )

    provision.TOOLS.mkdir(parents=True, exist_ok=True)
    # Wheels are made for one version of Python.
    pin = provision.pin_of(REQUIREMENTS) + sys.version.split()[0]
    provision.install("chart", "packages for the chart's tests", pin, fill)
    sys.path.insert(0, str(provision.TOOLS / "chart"))


def _build_helm():
    """Builds the pinned helm into our folder; None without Go, or if that fails."""
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if not go:
        return None
    module = HERE / "helm"

    def fill(folder):
        flags = "-s -w -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=34"
        provision.run(
            [go, "build", "-mod=readonly", "-trimpath", "-ldflags", flags,
             "-o", str(folder / "helm"), "helm.sh/helm/v3/cmd/helm"],
            "building helm",
            cwd=module,
            env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""},
        )

    try:
        provision.install("helm", "helm", provision.pin_of(module / "go.mod", module / "go.sum"), fill)
    except provision.Failure as failure:
        provision.say(str(failure))
        return None
    return str(provision.TOOLS / "helm" / "helm")


def find_helm():
    """The helm to use, or None."""
    provision.TOOLS.mkdir(parents=True, exist_ok=True)
    return os.environ.get("HELM") or shutil.which("helm") or _build_helm()


class HelmError(Exception):
    """What helm said."""


def template(helm, *arguments, release="tidemill", namespace="tidemill", kube=KUBE_VERSION):
    """The text that the chart renders."""
    done = subprocess.run(
        [helm, "template", release, str(CHART), "--namespace", namespace, "--kube-version", kube, *arguments],
        capture_output=True, text=True,
    )
    if done.returncode != 0:
        raise HelmError(done.stderr.strip())
    return done.stdout


def objects(text):
    """The objects in YAML text."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [one for one in yaml.load_all(text, loader) if one]
