#!/usr/bin/env python3
"""Asks every service whether its OpenAPI is true: `make contract` calls it.

    tests/contract/run.py [--cases N] [--seed N] [--database sqlite|postgres] [--service NAME ...]

Starts the five services, on SQLite and then on PostgreSQL, lets some events,
reference data and a dead letter through, and has schemathesis make requests by
each /openapi.json, right ones and wrong ones. A service is clean when none is
answered 5xx, nor with a status, type or body that is not described, when what
the description allows is taken, and what it forbids is refused.
"""

import argparse
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidemill"
BINARIES = Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target") / "debug"

SERVICES = ("ingestion", "enrichment", "aggregation", "alert", "recommendation", "reporting")
# The keys of the run: what strangers send without one is asked too.
WRITE, OPERATE = "contract-write-key", "contract-operate-key"
READY_SECONDS = 90
# A phase of schemathesis that hangs is a find too.
SERVICE_SECONDS = 1800

EVENTS = [
    {
        "id": f"o-{n}", "source": "contract", "type": "order.placed", "subject": f"c-{n % 3}",
        "data": {
            "order_id": f"o-{n}", "currency": "EUR",
            "items": [{"product_id": "novel", "quantity": n + 1, "unit_price": "9.50"}],
        },
    }
    for n in range(12)
]


class Failure(Exception):
    """What ends the run."""


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def quoted(text):
    return json.dumps(str(text))


class Servers:
    """Processes that end with the run, in reverse order."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []

    def start(self, name, command, **options):
        log = open(self.folder / f"{name}.log", "wb")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TIDEMILL_")}
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, **options)
        self.processes.append((name, process))

    def check(self):
        for name, process in self.processes:
            if process.poll() is not None:
                raise Failure(f"{name} ended: {(self.folder / f'{name}.log').read_text()[-2000:]}")

    def stop(self):
        for _, process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def until(what, servers, condition):
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        servers.check()
        if condition():
            return
        time.sleep(0.2)
    raise Failure(f"{what}: not within {READY_SECONDS} s")


def is_open(port):
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def answer(method, url, content_type=None, body=None):
    headers = {"Authorization": f"Bearer {WRITE if url.endswith('/v1/events') else OPERATE}"}
    if content_type:
        headers["Content-Type"] = content_type
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def start_postgres(servers, folder):
    """A private server with a database a service; root hands it to another user."""
    programs = next(
        (place for place in [*map(Path, os.environ["PATH"].split(os.pathsep)), *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
         if (place / "initdb").is_file() and (place / "postgres").is_file()), None)
    if programs is None:
        return None
    port, data, options = free_port(), folder / "postgres", {"cwd": "/"}
    data.mkdir()
    if os.geteuid() == 0:
        names = {user.pw_name for user in pwd.getpwall()}
        options["user"] = "postgres" if "postgres" in names else "nobody"
        shutil.chown(data, options["user"])
        folder.chmod(0o755)
    subprocess.run(
        [programs / "initdb", "--auth=trust", "--username=tidemill", "--encoding=UTF8", "--no-locale", "--no-sync", "-D", data],
        check=True, stdout=subprocess.DEVNULL, **options)
    settings = {"port": port, "listen_addresses": "127.0.0.1", "fsync": "off", "unix_socket_directories": ""}
    arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    # In single-user mode each line is a statement.
    statements = "".join(f'CREATE DATABASE "{name}"\n' for name in (*SERVICES[1:], "metrics"))
    subprocess.run(
        [programs / "postgres", "--single", "-D", data, "postgres"], input=statements, text=True, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    servers.start("postgres", [programs / "postgres", "-D", data, *arguments], **options)
    until("PostgreSQL listens", servers, lambda: is_open(port))
    return lambda name: f"postgres://tidemill@127.0.0.1:{port}/{name}"


def start_suite(servers, folder, store):
    nats = free_port()
    servers.start("nats-server", ["nats-server", "-js", "-sd", folder / "nats", "-a", "127.0.0.1", "-p", str(nats)])
    until("nats-server listens", servers, lambda: is_open(nats))
    addresses = {}
    for service in SERVICES:
        port = free_port()
        addresses[service] = f"http://127.0.0.1:{port}"
        text = f'[auth]\nwrite = "{WRITE}"\noperate = "{OPERATE}"\n[http]\nlisten = "127.0.0.1:{port}"\n[nats]\nurl = "nats://127.0.0.1:{nats}"\n'
        if service != "ingestion":
            text += f"[store]\nurl = {quoted(store(service))}\n"
        if service == "aggregation":
            text += '[metrics_store]\nkind = "builtin"\n'
        config = folder / f"{service}.toml"
        config.write_text(text)
        servers.start(service, [BINARIES / f"tidemill-{service}", "--config", config])
    for service, address in addresses.items():
        until(f"{service} is ready", servers, lambda: answer("GET", f"{address}/readyz")[0] == 200)
    return addresses


def trade(servers, addresses):
    """Something for every route to find."""
    for path, body in (("products/novel", {"category": "Books"}), ("customers/c-1", {"country": "DE"})):
        answer("PUT", f"{addresses['enrichment']}/v1/reference/{path}", "application/json", json.dumps(body).encode())
    lines = "\n".join([*map(json.dumps, EVENTS), '{"truncated']).encode()
    status, told = answer("POST", f"{addresses['ingestion']}/v1/events", "application/x-ndjson", lines)
    if status != 202:
        raise Failure(f"ingestion answered {status}: {told[:500]}")

    def is_counted():
        status, books = answer("GET", f"{addresses['reporting']}/v1/books")
        return status == 200 and json.loads(books)["totals"].get("counted") == len(EVENTS)

    until("the events are counted", servers, is_counted)


def references(openapi):
    """References in a description that lead nowhere."""
    def walk(node):
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)

    for reference in set(walk(openapi)):
        target = openapi
        for part in reference.removeprefix("#/").split("/"):
            target = target.get(part) if isinstance(target, dict) else None
        if target is None:
            yield reference


def ask(service, address, database, arguments):
    """Runs schemathesis over one service; answers whether it is clean."""
    nowhere = sorted(references(json.loads(answer("GET", f"{address}/openapi.json")[1])))
    for reference in nowhere:
        print(f"contract: {service}: {reference} is not described", flush=True)
    started = time.monotonic()
    command = [
        "schemathesis", "--config-file", HERE / "schemathesis.toml", "run", f"{address}/openapi.json", "--checks", "all",
        "--max-examples", str(arguments.cases), "--seed", str(arguments.seed), "--continue-on-failure",
        "--header", f"Authorization: Bearer {WRITE if service == 'ingestion' else OPERATE}", "--request-timeout", "30", "--warnings", "off", "--no-color", "--generation-database", "none",
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, env=environment, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=SERVICE_SECONDS)
    is_clean = done.returncode == 0 and not nowhere
    if not is_clean:
        print(done.stdout, flush=True)
    cases = next((line.strip() for line in done.stdout.splitlines() if " generated" in line), "")
    verdict = "clean" if is_clean else "NOT CLEAN"
    print(f"contract: {service} on {database}: {verdict} in {time.monotonic() - started:.0f} s ({cases})", flush=True)
    return is_clean


def run(database, arguments):
    with tempfile.TemporaryDirectory(prefix="tidemill-contract-") as name:
        folder, clean = Path(name), True
        servers = Servers(folder)
        try:
            store = lambda service: f"sqlite://{folder}/{service}.db"
            if database == "postgres":
                store = start_postgres(servers, folder)
                if store is None:
                    print("SKIPPED: no PostgreSQL is installed", flush=True)
                    return True
            addresses = start_suite(servers, folder, store)
            trade(servers, addresses)
            for service in arguments.service or SERVICES:
                clean &= ask(service, addresses[service], database, arguments)
                servers.check()
        finally:
            servers.stop()
        return clean


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100, help="requests of each kind for each operation")
    parser.add_argument("--seed", type=int, default=1, help="the same one means the same requests")
    parser.add_argument("--database", choices=("sqlite", "postgres"), action="append", help="both, without it")
    parser.add_argument("--service", choices=SERVICES, action="append", help="all, without it")
    arguments = parser.parse_args()
    outcomes = [run(database, arguments) for database in arguments.database or ("sqlite", "postgres")]
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
        print(f"contract: {failure}", file=sys.stderr)
        sys.exit(1)
