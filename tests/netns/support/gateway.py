# SPDX-License-Identifier: Apache-2.0
"""The gateway under test: bootstrap file, namespace, ports, start, readiness, stop, kill."""

import json
import os
import signal
import socket
import subprocess
import time

from .api import Api
from .checks import expect, expect_equal
from .run import Process
from .wait import wait_for


def worker_lcores(count=None):
    """A processor for each of `count` workers (HNV_WORKERS, else 1), the control thread's last."""
    cpus = os.cpu_count() or 1
    count = count or int(os.environ.get("HNV_WORKERS", "1"))
    if count > cpus:
        raise SystemExit(f"HNV_WORKERS={count}: there are {cpus} processors, and each worker wants one")
    return [(cpu + 1) % cpus for cpu in range(count)]


class NotReady(AssertionError):
    """The gateway ended, or did not become ready in time."""


class Gateway:
    """hnv-gateway in a namespace of its own; its ports are wires to the switch."""

    def __init__(self, run, binary, hnvctl, name="gateway", tcp=None):
        self.run, self.name, self.binary, self.hnvctl = run, name, binary, hnvctl
        self.space = run.namespace(name)
        self.folder = os.path.join(run.folder, name)
        os.makedirs(self.folder, mode=0o755)
        self.process = None
        self.starts = 0
        self.ready_after = None
        self.config = {
            "lcores": {"control": 0, "workers": worker_lcores()},
            "memory": {"megabytes": 512, "hugepages": "auto", "packetBuffers": 16384},
            "busyPoll": False,
            "ports": [],
            "store": f"{self.folder}/store.db",
            "api": {"socket": f"{self.folder}/api.sock"},
            "runtimeDirectory": self.folder,
            "log": {"level": "info"},
        }
        if tcp:
            self.config["api"]["tcp"] = tcp
        self.api = Api(self.config["api"]["socket"])

    def port(self, switch, name, interface, switch_port=None, mtu=1500, vlan=None, trunks=None):
        """A port of the gateway, wired to the switch. The kernel only carries its frames."""
        switch.connect(switch_port or f"gw-{interface}", self.space, interface, vlan=vlan, trunks=trunks, mtu=mtu)
        entry = {"name": name, "device": f"net_af_packet{len(self.config['ports'])},iface={interface}"}
        if mtu != 1500:
            entry["mtu"] = mtu
        self.config["ports"].append(entry)

    @property
    def config_path(self):
        return f"{self.folder}/gateway.json"

    def write_config(self, config=None, path=None):
        path = path or self.config_path
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config or self.config, file, indent=2)
        return path

    def launch(self, config_path=None, name=None, env=None):
        """Starts a process and returns it at once; for those that are expected to be refused."""
        self.starts += 1
        return Process(self.run, name or f"{self.name}-{self.starts}",
                       [self.binary, "--config", config_path or self.config_path],
                       namespace=self.space, env=env)

    def start(self, timeout=30):
        """Starts the gateway and waits until it says READY=1."""
        self.write_config()
        path = f"{self.folder}/notify.sock"
        if os.path.exists(path):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            notify.settimeout(0.1)
            begin = time.monotonic()
            self.process = self.launch(env={"NOTIFY_SOCKET": path})

            def ready():
                if not self.process.alive():
                    raise SystemExit  # not an Exception: ends the wait at once
                try:
                    return b"READY=1" in notify.recv(4096)
                except TimeoutError:
                    return False
            try:
                wait_for(ready, timeout, "gateway: READY=1", interval=0)
            except SystemExit:
                raise NotReady(f"gateway ended with {self.process.popen.returncode}: "
                               f"{self.process.output(3000)}") from None
            self.ready_after = time.monotonic() - begin
        self.api.get("/v1/system")
        return self

    def stop(self, timeout=15):
        """SIGTERM: drains and ends. Answers the exit status."""
        return self.process.stop(signal.SIGTERM, timeout)

    def kill(self):
        """kill -9, as a power cut would."""
        self.process.send(signal.SIGKILL)
        self.process.wait()

    def alive(self):
        return self.process is not None and self.process.alive()

    def log(self, most=20000):
        return self.process.output(most) if self.process else ""

    def ctl(self, *argv, check=True, text_input=None):
        """hnvctl, as an operator on this machine would call it."""
        done = subprocess.run([self.hnvctl, "--socket", self.config["api"]["socket"], *argv],
                              input=text_input, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=30, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"hnvctl {' '.join(argv)}: status {done.returncode}: {done.stderr.strip()}")
        return done

    def ctl_json(self, *argv):
        return json.loads(self.ctl(*argv, "-o", "json").stdout)

    # -- what it counted

    def ledger(self):
        return self.api.get("/v1/drops")

    def drops(self):
        return {reason: count for reason, count in self.ledger()["drops"].items() if count}

    def dump(self):
        parts = [f"---- gateway log\n{self.log(6000)}"]
        for path in ("/v1/drops", "/v1/statistics", "/v1/ports"):
            try:
                parts.append(f"---- GET {path}\n{json.dumps(self.api.get(path), indent=1)}")
            except Exception as error:  # noqa: BLE001 - a dump shows what it can
                parts.append(f"---- GET {path}: {error}")
        return "\n".join(parts)


def ledger_balanced(gateway):
    """The ledger holds to the packet, in the sum and for every worker."""
    answer = gateway.api.get("/v1/drops")
    ledger = answer["ledger"]
    came = sum(ledger[k] for k in ("rx", "handedIn", "injected", "originated"))
    went = sum(ledger[k] for k in ("tx", "drops", "punts", "consumed", "handedOut", "held"))
    expect(ledger["balanced"] is True, f"the gateway says it is not balanced: {ledger}")
    expect_equal(came, went, f"ledger {ledger}")
    expect(all(w["balanced"] for w in answer["workers"]), f"a worker is not balanced: {answer['workers']}")
    expect_equal(sum(answer["drops"].values()), ledger["drops"], "drops by reason, summed")
    return f"{came} packets came, {went} went"


def prove_end(checks, gateway):
    """What a topology without hosts of its own ends with."""
    with checks.check("the ledger holds") as note:
        note.text = wait_for(lambda: ledger_balanced(gateway), 5, "the ledger")
    with checks.check("the gateway ends"):
        expect_equal(gateway.stop(), 0, "exit status")
