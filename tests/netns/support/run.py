# SPDX-License-Identifier: Apache-2.0
"""A Run owns everything a topology makes on this machine, and removes it by its own id.

Every namespace and process is written to the run's journal before it is used. Removal walks the
journal backwards, so that a later process (the lab's `down`) can remove what an earlier one made.
A process is named by pid and start time: a pid that was given to somebody else is left alone.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import threading

ROOT = "/run"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class CommandFailed(AssertionError):
    """A command that had to succeed did not."""


def call(*argv, check=True, timeout=60, text=True, **options):
    """Runs a command to its end and returns what it answered."""
    argv = [str(a) for a in argv]
    if "input" not in options:
        options["stdin"] = subprocess.DEVNULL
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=text,
                          timeout=timeout, check=False, **options)
    if check and done.returncode != 0:
        said = done.stderr if text else done.stderr.decode(errors="replace")
        out = done.stdout if text else done.stdout.decode(errors="replace")
        raise CommandFailed(f"{' '.join(argv)}: status {done.returncode}: {said.strip()} {out.strip()[-500:]}")
    return done


def start_time(pid):
    """When the kernel started pid (clock ticks since boot), or None when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def kill_process(pid, started, patience=5.0):
    """Ends the process (pid, started): SIGTERM first, SIGKILL when it does not listen."""
    if started is None or start_time(pid) != started:
        return
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if start_time(pid) != started:
                return
            try:
                signal.pidfd_send_signal(handle, number)
            except OSError:
                return
            select.select([handle], [], [], patience)
    finally:
        os.close(handle)


class Process:
    """A process in a namespace, its output in a file of the run."""

    def __init__(self, run, name, argv, namespace=None, env=None, pipe=False, pass_fds=()):
        self.run, self.name = run, name
        self.log = os.path.join(run.folder, f"{name}.log")
        full = (["ip", "netns", "exec", namespace.id] if namespace else []) + [str(a) for a in argv]
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(full, stdin=subprocess.DEVNULL,
                                          stdout=subprocess.PIPE if pipe else log, stderr=log,
                                          start_new_session=True, pass_fds=pass_fds,
                                          env={**os.environ, **(env or {})})
        self.pid = self.popen.pid
        self.started = start_time(self.pid)
        run.record("process", pid=self.pid, started=self.started, name=name)

    def __getstate__(self):
        return {**self.__dict__, "popen": None}  # another command of the lab knows it by its pid only

    def alive(self):
        if self.popen is None:
            return self.started is not None and start_time(self.pid) == self.started
        return self.popen.poll() is None

    def send(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def wait(self, timeout=10):
        return self.popen.wait(timeout)

    def stop(self, number=signal.SIGTERM, timeout=10):
        """Sends the signal, waits for the end and returns the status; kills what does not end."""
        self.send(number)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            return None

    def output(self, most=20000):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return file.read()[-most:]
        except OSError:
            return ""


class Namespace:
    """A network namespace of the run. Nothing speaks in it that was not told to.

    IPv6 is off until dual_stack() switches it on. ARP is answered only by the interface that holds the address: a host's PA is on
    br-phy, and by default the kernel would answer for it on the fabric's veth as well, with the
    veth's MAC, which is nobody's.
    """

    def __init__(self, run, name):
        self.run, self.name = run, name
        self.id = f"hnv-{run.id}-{name}"
        run.record("namespace", name=self.id)
        call("ip", "netns", "add", self.id)
        self("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1",
             "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
             "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.ping_group_range=0 2147483647")
        self.ip("link set lo up")

    def __call__(self, *argv, **options):
        """Runs a command in the namespace to its end."""
        return call("ip", "netns", "exec", self.id, *argv, **options)

    def ip(self, *lines):
        """ip(8) commands, each a line, all in one call."""
        return call("ip", "-n", self.id, "-batch", "-", input="\n".join(lines) + "\n")

    def dual_stack(self, interface, *addresses):
        """Switches IPv6 on for one interface and gives it addresses that are used at once."""
        self("sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=0", f"net.ipv6.conf.{interface}.accept_ra=0")
        self.ip(*(f"addr add {a} dev {interface}" + (" nodad" if ":" in a else "") for a in addresses))

    def spawn(self, name, *argv, **options):
        return Process(self.run, name, argv, namespace=self, **options)

    def socket(self, *args):
        """A socket of this namespace, made by and for this process."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{self.id}", "rb") as there:
            if _libc.setns(there.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns {self.id}")
            try:
                return socket.socket(*args)
            finally:
                if _libc.setns(home.fileno(), _CLONE_NEWNET) != 0:
                    os.abort()  # this thread would go on in the wrong namespace

    def mac(self, interface):
        answer = json.loads(call("ip", "-n", self.id, "-j", "link", "show", "dev", interface).stdout)
        return answer[0]["address"]

    def counters(self, interface):
        answer = json.loads(call("ip", "-n", self.id, "-j", "-s", "link", "show", "dev", interface).stdout)
        return answer[0]["stats64"]


def veth(space_a, name_a, space_b, name_b, mtu=1500):
    """A wire between two namespaces; both ends are up. Checksums are done by the sender."""
    call("ip", "link", "add", name_a, "mtu", mtu, "netns", space_a.id, "type", "veth",
         "peer", "name", name_b, "mtu", mtu, "netns", space_b.id)
    for space, name in ((space_a, name_a), (space_b, name_b)):
        # veth leaves checksums to the kernel, but readers in user space see the frames as they are.
        space("ethtool", "-K", name, "tx", "off", check=False)
        space.ip(f"link set {name} up")


class Run:
    """Everything of one topology. Use as a context manager; keep() leaves it standing."""

    def __init__(self, identity=None, fresh=True):
        if os.geteuid() != 0:
            raise SystemExit("network namespaces need root")
        self.id = identity or f"t{os.getpid()}"
        self.folder = os.path.join(ROOT, f"hnv-{self.id}")
        self.journal = os.path.join(self.folder, "journal")
        self._lock = threading.Lock()
        self._kept = False
        if fresh:
            self.remove()
            os.makedirs(self.folder, mode=0o755)

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def record(self, kind, **what):
        with self._lock, open(self.journal, "a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **what}) + "\n")

    def record_daemon(self, name, pid):
        """A process that put itself into the background."""
        self.record("process", pid=pid, started=start_time(pid), name=name)

    def namespace(self, name):
        return Namespace(self, name)

    def path(self, *parts):
        full = os.path.join(self.folder, *parts)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        return full

    def entries(self):
        try:
            with open(self.journal, encoding="utf-8") as file:
                return [json.loads(line) for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def keep(self):
        self._kept = True

    def remove(self):
        """Ends every process and namespace of the journal, the youngest first, and the folder."""
        entries = self.entries()
        for entry in reversed(entries):
            if entry["kind"] == "process":
                kill_process(entry["pid"], entry["started"])
        for entry in reversed(entries):
            if entry["kind"] != "namespace" or not os.path.exists(f"/run/netns/{entry['name']}"):
                continue
            # Whoever is still inside (a shell, a daemon's child) is in a namespace that only we made.
            for pid in call("ip", "netns", "pids", entry["name"], check=False).stdout.split():
                if int(pid) != os.getpid():
                    kill_process(int(pid), start_time(int(pid)))
            call("ip", "netns", "del", entry["name"], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        def end(number, _frame):
            raise SystemExit(128 + number)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, end)
        return self

    def __exit__(self, kind, error, trace):
        if not self._kept:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            self.remove()
        return False

