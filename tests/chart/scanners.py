"""What public scanners say of the rendered chart and of the Dockerfile.

Each finding is (rule, object, what it says). One that is as it should be is in
exceptions.yaml, with its reason; an exception that nothing is found for is
itself a problem, so that the file does not outlive its reasons.
"""

import fnmatch
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tools


class Missing(Exception):
    """Why a scanner cannot run here."""


def _json(command, **options):
    """What a program prints. A scanner's exit code tells of findings, not of failures."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
    try:
        return json.loads(done.stdout)
    except ValueError:
        tail = (done.stderr or done.stdout).strip()[-400:]
        raise RuntimeError(f"{command[0]} exits with {done.returncode} and no JSON: {tail}") from None


def checkov(folder):
    packages = tools.find_checkov()
    if not packages:
        raise Missing("it cannot be installed")
    shutil.copy(tools.ROOT / "Dockerfile", folder)
    command = [sys.executable, "-m", "checkov.main", "--directory", str(folder), "--framework", "kubernetes", "dockerfile",
               "--output", "json", "--quiet", "--compact", "--skip-download"]
    # It asks for updates and guidelines otherwise.
    env = {**os.environ, "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1", "LOG_LEVEL": "ERROR"}
    told = _json(command, env=env)
    for report in told if isinstance(told, list) else [told]:
        for one in report["results"]["failed_checks"]:
            # `Deployment.tidemill.tidemill-alert`, or `/Dockerfile.`
            kind, _, name = one["resource"].partition(".tidemill.")
            yield one["check_id"], f"{kind}/{name}" if name else "Dockerfile", one["check_name"]


def kube_score(folder):
    program = tools.find_kube_score()
    if not program:
        raise Missing("it is built where Go is, and Go is not on PATH or the build fails")
    files = sorted(str(file) for file in folder.glob("*.yaml"))
    told = _json([program, "score", "--kubernetes-version", f"v{tools.KUBE_VERSION.rsplit('.', 1)[0]}", "-o", "json", *files])
    for one in told:
        name = f"{one['type_meta']['kind']}/{one['object_meta']['name']}"
        for check in one["checks"] or []:
            # 10 is all well, and 7 almost.
            if not check["skipped"] and check["grade"] < 7:
                said = [comment["summary"] for comment in check["comments"] or []]
                yield check["check"]["id"], name, "; ".join(said) or check["check"]["name"]


def trivy(folder):
    program = shutil.which("trivy")
    if not program:
        raise Missing("trivy is not on PATH")
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryDirectory() as apart:
        _apart(folder, Path(apart))
        shutil.copy(tools.ROOT / "Dockerfile", apart)
        # The rules are those in the program, and nobody is told that it ran. It reads .trivyignore where it is started.
        command = [program, "config", "--quiet", "--format", "json", "--cache-dir", cache, "--skip-check-update",
                   "--skip-version-check", "--disable-telemetry", "."]
        for result in _json(command, cwd=apart).get("Results") or []:
            # `defaults/Deployment/tidemill-alert.yaml`, or `Dockerfile`
            _, _, file = result["Target"].partition("/")
            for one in result.get("Misconfigurations") or []:
                yield one["ID"], file.removesuffix(".yaml") or result["Target"], one["Message"]


def _apart(folder, apart):
    """Each object as VARIANT/KIND/NAME.yaml: trivy tells in which file a finding is, and not of which object."""
    import yaml

    for rendered in folder.glob("*.yaml"):
        for one in tools.objects(rendered.read_text()):
            file = apart / rendered.stem / one["kind"] / f"{one['metadata']['name']}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(yaml.safe_dump(one))


def hadolint(_folder):
    program = tools.find_hadolint()
    if not program:
        raise Missing("it cannot be installed")
    for one in _json([program, "--no-fail", "--format", "json", str(tools.ROOT / "Dockerfile")]):
        yield one["code"], "Dockerfile", f"line {one['line']}: {one['message']}"


ALL = {"checkov": checkov, "kube-score": kube_score, "trivy config": trivy, "hadolint": hadolint}
# Those that do not look at manifests.
DOCKERFILE_ALONE = {"hadolint"}


def problems(name, found, exceptions):
    """Findings without an exception, and exceptions without a finding."""
    mine = [one for one in exceptions if one["tool"] == name]
    used = set()
    for rule, where, says in found:
        matching = [
            (number, pattern)
            for number, one in enumerate(mine)
            for pattern in one["objects"]
            if one["rule"] == rule and fnmatch.fnmatchcase(where, pattern)
        ]
        used.update(matching)
        if not matching:
            yield f"{rule} {where}: {says}"
    for number, one in enumerate(mine):
        if not one.get("reason", "").strip():
            yield f"the exception for {one['rule']} has no reason"
        for pattern in one["objects"]:
            if (number, pattern) not in used:
                yield f"nothing is found for the exception {one['rule']} of {pattern}"
