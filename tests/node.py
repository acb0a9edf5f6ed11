"""A node for a part of `make test`: its folder, its processes, and how to ask it.

Standard library only. Everything a node starts is ended and everything it wrote is removed when the
`with` block is left, whichever way. KEEP=1 leaves the folder for a look.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

# A debug binary on a busy machine needs most of it; a release binary a second or two.
READY_WITHIN = 180
STOP_WITHIN = 60


def say(text):
    print(text, flush=True)


def binary():
    path = os.environ.get("GLOBALSHOP_BIN") or "target/release/globalshop"
    if not os.access(path, os.X_OK):
        sys.exit(f"{path} is missing: run `make build`, or set GLOBALSHOP_BIN")
    return os.path.abspath(path)


def not_run_here(what, needs):
    say(f"not run here: {what} (needs {needs})")
    sys.exit(77)


def free_port():
    """A free port below the range that outgoing connections use: while the node is down, a client
    that dials it again and again must not end up with the node's own port."""
    for _ in range(200):
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failed("no port is free")


class Failed(Exception):
    """Something does not hold; the text says what."""


def main(part):
    """Runs a part. What does not hold is one sentence and exit code 1; a signal cleans up as well."""
    def leave(*_):
        sys.exit(130)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    try:
        part()
    except Failed as failed:
        say(f"FAILED: {failed}")
        sys.exit(1)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Node:
    """A node on a folder and a port of its own."""

    def __init__(self, demo=True):
        self.binary = binary()
        self.demo = demo
        self.process = None
        self.tokens = {}
        # What the shop reads from its environment is not this test's business.
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("GLOBALSHOP_")}

    def __enter__(self):
        # PostgreSQL runs as its own user where we are root, and has to get in.
        self.folder = tempfile.mkdtemp(prefix="globalshop-part-", dir="/var/tmp")
        os.chmod(self.folder, 0o711)
        self.data = os.path.join(self.folder, "data")
        self.log = os.path.join(self.folder, "node.log")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, kind, _fault, _trace):
        self.kill()
        if kind not in (None, SystemExit):
            self.show_log()
        if os.environ.get("KEEP"):
            say(f"left for a look: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    # Its life.

    def launch(self):
        command = [self.binary, "run", "--data", self.data, "--listen", f"127.0.0.1:{self.port}"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command + ["--demo"] * self.demo,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
            )

    def start(self):
        """Starts the node and waits until it is ready and, the first time, filled. Says how long
        it took."""
        self.launch()
        return self.wait_ready()

    def wait_ready(self):
        begin = time.monotonic()
        while not self.is_open():
            if self.process.poll() is not None:
                raise Failed(f"the node ended with {self.process.returncode} instead of becoming ready")
            if time.monotonic() - begin > READY_WITHIN:
                raise Failed(f"the node is not ready after {READY_WITHIN} s")
            time.sleep(0.05)
        return time.monotonic() - begin

    def is_open(self):
        """Whether it has left its note, which it does when the demo is loaded, and is ready."""
        try:
            with open(os.path.join(self.data, "node.json")) as note:
                if json.load(note)["pid"] != self.process.pid:
                    return False
            return self.call("GET", "/readyz", timeout=5).status == 200
        except (OSError, ValueError):
            return False

    def stop(self):
        """Ends it as an operator would, and checks that nothing stays."""
        self.process.terminate()
        try:
            code = self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            raise Failed(f"the node did not stop within {STOP_WITHIN} s of SIGTERM") from None
        if code != 0:
            raise Failed(f"the node ended with {code} after SIGTERM")
        if self.database():
            raise Failed("the node left its PostgreSQL running")

    def kill(self, database_first=False):
        """kill -9 for the node and its PostgreSQL, in that order or the other."""
        if database_first:
            self.kill_database()
        if self.process:
            self.process.kill()
            self.process.wait()
        # Killed backends may take a moment, and a dying node may have just started another server.
        until = time.monotonic() + 10
        while self.database() and time.monotonic() < until:
            self.kill_database()
            time.sleep(0.02)

    def kill_database(self):
        for pid in self.database():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def database(self):
        """The processes of its PostgreSQL, known by the folder they live in."""
        cluster = os.path.join(os.path.realpath(self.data), "postgres")
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{name}/cwd") == cluster:
                    found.append(int(name))
            except OSError:
                continue
        return found

    def show_log(self, lines=30):
        """What the node said last, without the requests that went well."""
        if os.path.exists(self.log):
            with open(self.log, errors="replace") as log:
                told = [line for line in log if '"level":"INFO"' not in line]
            say(f"--- the last words of the node\n{''.join(told[-lines:])}---")

    # Asking it.

    def run(self, *arguments):
        """A command of the binary, its output caught."""
        return subprocess.run(
            [self.binary, *arguments], env=self.environment, text=True, timeout=900,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )

    def token(self, role):
        if role not in self.tokens:
            printed = self.run("token", "--role", role, "--data", self.data)
            if printed.returncode != 0:
                raise Failed(f"no token for the role {role}: {printed.stderr}")
            self.tokens[role] = printed.stdout.split()[-1]
        return self.tokens[role]

    def call(self, method, path, body=None, role=None, timeout=30):
        request = urllib.request.Request(self.url + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if method == "POST":
            request.add_header("Idempotency-Key", str(uuid.uuid4()))
        if role:
            request.add_header("Authorization", f"Bearer {self.token(role)}")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as answer:
            return Answer(answer.code, answer.headers, answer.read())

    def ask(self, method, path, body=None, role=None):
        """A call that succeeds, as JSON."""
        answer = self.call(method, path, body, role)
        if not 200 <= answer.status < 300:
            raise Failed(f"{method} {path}: {answer.status} {answer.body.decode(errors='replace')}")
        return answer.json() if answer.body else None

    def load(self, *arguments):
        """A run of `globalshop load`, all of whose checks hold; its report."""
        ended = self.run("load", *arguments, "--url", self.url, "--data", self.data, "--json")
        return judged(ended.returncode, ended.stdout, ended.stderr)

    def audit(self, *arguments):
        """`globalshop audit`; its report. Broken is a failure."""
        ended = self.run("audit", "--data", self.data, "--json", *arguments)
        if ended.returncode != 0:
            raise Failed(f"the audit is not clean (exit {ended.returncode}):\n{ended.stdout}{ended.stderr}")
        report = json.loads(ended.stdout.splitlines()[-1])
        verdicts = {True: "holds", False: "BROKEN", None: "not checked"}
        items = ", ".join(f"{item['id']} {verdicts[item['holds']]}" for item in report["items"])
        kept = report.get("acks")
        if kept:
            items += (f"; acknowledged: {kept['lines']} lines, {kept['carts']} carts, {kept['orders']} orders,"
                      f" {kept['broken']} broken")
        say(f"audit: {items}")
        return report


def judged(code, output, errors):
    """The report of a load run. A check that failed is a failure."""
    try:
        report = json.loads(output)
    except ValueError:
        raise Failed(f"load ended with {code} and no report: {output}{errors}") from None
    checks = report["checks"]
    if code != 0 or not report["ok"]:
        broken = "\n  ".join([json.dumps(checks["by_check"]), *checks["examples"]])
        raise Failed(f"load {report['scenario']} (seed {report['seed']}, exit {code}): {checks['failed']} of"
                     f" {checks['made']} checks failed:\n  {broken}")
    say(f"load {report['scenario']}: {report['calls']} calls, {checks['made']} checks, none failed (seed"
        f" {report['seed']})")
    return report
