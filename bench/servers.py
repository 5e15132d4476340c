"""Servers of our own that benches run as peers: each in a directory that goes with the bench, durable at every answer, as its
packagers ship it apart from what is said here, and ended by its process id."""

import getpass
import glob
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from common import run


def tail_of(path):
    with open(path, encoding="utf-8", errors="replace") as log:
        return log.read()[-2000:]


class Server:
    """A process with a log file; ready() says whether it answers."""

    ending = signal.SIGTERM

    def __init__(self, directory, name):
        self.name = name
        self.data = os.path.join(directory, name)
        self.process = None

    def launch(self, *command, **options):
        with open(self.data + ".log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
        deadline = time.monotonic() + 120
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                sys.exit(f"bench: {self.name} does not start:\n{tail_of(self.data + '.log')}")
            time.sleep(0.01)

    def ready(self):
        raise NotImplementedError

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(self.ending)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def peak_rss(self):
        """Bytes that the running server had resident at most."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


class MariadbServer(Server):
    """On a socket; a large buffer pool and log, so that it is not the memory that is measured."""

    def __init__(self, directory):
        super().__init__(directory, "mariadb")
        self.socket = os.path.join(directory, "s")
        self.user = getpass.getuser()
        run("mariadb-install-db", "--no-defaults", f"--datadir={self.data}", f"--user={self.user}", "--skip-test-db",
            "--skip-name-resolve", "--auth-root-authentication-method=normal")

    def start(self):
        # Debian keeps the server in a directory that only root has on PATH
        path = os.environ.get("PATH", "") + ":/usr/sbin"
        self.launch("mariadbd", "--no-defaults", f"--user={self.user}", f"--datadir={self.data}", f"--socket={self.socket}",
            f"--pid-file={self.data}.pid", "--skip-networking", "--innodb-buffer-pool-size=512M", "--innodb-log-file-size=256M",
            "--innodb-flush-log-at-trx-commit=1", "--character-set-server=utf8mb4", env=dict(os.environ, PATH=path))

    def ready(self):
        return subprocess.run(self.client("mariadb-admin", "--silent", "ping"), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, check=False).returncode == 0

    def client(self, program, *arguments):
        return [program, "--no-defaults", f"--socket={self.socket}", "--user=root", *arguments]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class EtcdServer(Server):
    """One node on the loopback interface; the only setting is a quota that a bench does not reach."""

    def __init__(self, directory):
        super().__init__(directory, "etcd")
        self.url = None

    def start(self):
        port, peer = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.launch("etcd", "--name", "bench", "--data-dir", self.data, "--listen-client-urls", self.url,
            "--advertise-client-urls", self.url, "--listen-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster",
            f"bench=http://127.0.0.1:{peer}", "--quota-backend-bytes", str(8 << 30), "--log-level", "error",
            "--logger", "zap")

    def call(self, path, body):
        """Over its JSON gateway."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def ready(self):
        """Answers a linearizable read."""
        try:
            self.revision()
            return True
        except (urllib.error.URLError, OSError):
            return False

    def revision(self):
        return int(self.call("/v3/kv/range", {"key": "YQ=="})["header"]["revision"])

    def control(self, *arguments):
        """The etcdctl command for this server."""
        return ["env", "ETCDCTL_API=3", "etcdctl", f"--endpoints={self.url}", *arguments]


class PostgresServer(Server):
    """On a socket, as initdb configures it.  It refuses to run as root: then it runs as the user of its package."""

    ending = signal.SIGINT  # fast shutdown

    def __init__(self, directory):
        super().__init__(os.path.join(directory, "postgresql"), "postgresql")
        self.directory = os.path.dirname(self.data)
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]))
        if not found:
            sys.exit("bench: PostgreSQL's programs are not there; run: scripts/setup bench")
        self.programs = os.path.dirname(found[-1])
        os.mkdir(self.directory)
        self.identity = {}
        if os.geteuid() == 0:
            user = self.unprivileged()
            shutil.chown(self.directory, user.pw_uid, user.pw_gid)
            os.chmod(os.path.dirname(self.directory), 0o711)
            self.identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": self.directory}
        self.run("initdb", "--auth=trust", "--username=bench", "--encoding=UTF8", "--locale=C.UTF-8", f"--pgdata={self.data}")

    @staticmethod
    def unprivileged():
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        sys.exit("bench: PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody'")

    def program(self, name):
        return os.path.join(self.programs, name)

    def run(self, name, *arguments):
        done = subprocess.run([self.program(name), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, **self.identity)
        if done.returncode:
            sys.exit(f"bench: {name} ended with status {done.returncode}: {done.stdout[-2000:]}")
        return done.stdout

    def start(self):
        self.launch(self.program("postgres"), "-D", self.data, "-k", self.directory, "-c", "listen_addresses=",
            **self.identity)

    def ready(self):
        return subprocess.run([self.program("pg_isready"), "-q", "-h", self.directory, "-d", "postgres"],
            check=False).returncode == 0

    def sql(self, text):
        return self.run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.directory, "-U", "bench", "-d",
            "postgres", "-c", text)
