#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The commands of packaging/lab, once dependencies and binaries are there.

The lab is a Run named "lab": its state, logs and journal are in /run/hnv-lab, its namespaces are
hnv-lab-NAME. Nothing else of the machine is touched.
"""

import contextlib
import json
import os
import pickle
import signal
import socket
import sys
import time

from support.bgp_proofs import prove_bgp
from support.checks import Checks, dump_logs
from support.gateway import ledger_balanced
from support.ipsec_proofs import prove_ipsec
from support.lab_proofs import COUNTERS, counted, prove_all
from support.lab_topology import TENANTS, Lab
from support.nat_proofs import prove_nat
from support.run import Run, start_time
from support.tunnel_proofs import prove_failover, prove_tunnels
from support.tunnel_rates import Flows, prove_another_rate, prove_rate

IDENTITY = "lab"
STATE = "lab.pickle"  # our own Lab object, written and read by root only
NAMES = ("switch", "host1", "host2", "gateway", "internet", "edge", *(f"{t}-{n}" for t in TENANTS for n in (
    "web1", "web2", "app1", "app2", "legacy1", "server", "branch", "backup")))
MARKS = {"yes": "✔", "no verdict": "?", "NO": "✘"}


def binaries():
    build = os.environ["HNV_LAB_BUILD"]
    return f"{build}/gateway/hnv-gateway", f"{build}/api/hnvctl"


class LiveChecks(Checks):
    """Shows each claim as it is proven, and all of them as a table at the end."""

    def __init__(self):
        super().__init__(out=open(os.devnull, "w", encoding="utf-8"))
        self.rows = []

    @contextlib.contextmanager
    def check(self, name):
        failed = len(self.failed)
        begin = time.monotonic()
        print(f"   … {name}", flush=True)
        said = {}
        self._say = lambda line: said.update(line=line)
        with super().check(name) as note:
            yield note
        held = len(self.failed) == failed
        verdict = "NO" if not held else "no verdict" if note.undecided else "yes"
        evidence = note.text if held else said["line"].removeprefix(f"not ok {name}: ")
        print(f"   {MARKS[verdict]} {evidence or 'yes'} ({time.monotonic() - begin:.1f} s)", flush=True)
        self.rows.append((name, verdict))

    def table(self):
        width = max(len(name) for name, _ in self.rows)
        line = "─" * (width + 14)
        print(f"\n{line}\n{'what':{width}}  proven\n{line}")
        for name, verdict in self.rows:
            print(f"{name:{width}}  {verdict}")
        print(line)


def tell(line):
    print(f" ● {line}", flush=True)


@contextlib.contextmanager
def only_one():
    """One lab command that changes something at a time; the name vanishes with the process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock:
        try:
            lock.bind("\0hnv-lab/command")
        except OSError:
            raise SystemExit("lab: another packaging/lab is at work") from None
        yield


def existing():
    """The run of the lab that is up, or None."""
    run = Run(IDENTITY, fresh=False)
    return run if run.entries() else None


def up():
    old = existing()
    if old:
        tell("a lab is up already: bringing it down first")
        old.remove()
    begin = time.monotonic()
    with Run(IDENTITY) as run:
        try:
            lab = Lab(run, *binaries(), tell=tell)
            lab.add_branches()
            lab.add_backups()
            lab.add_bgp()
            lab.start_gateway()
            state = run.path("resources.json")
            with open(state, "w", encoding="utf-8") as file:
                json.dump({"resources": lab.resources()}, file, indent=2)
            tell(f"configuring: hnvctl apply -f {state}")
            lab.gateway.ctl("apply", "-f", state)
            lab.tell_hosts()
            tell("the sites call: IKEv2 through the NAT")
            lab.branches.connect()
            lab.backups.connect()
            tell("and speak BGP over their tunnels")
            lab.bgp.start()
            lab.bgp.wait()
        except Exception as error:  # noqa: BLE001 - shown with the logs that explain it
            dump_logs(run)
            print(f"lab: it did not come up: {error}", file=sys.stderr)
            return 1
        save(lab)
        run.keep()
        tell(f"up after {time.monotonic() - begin:.1f} s; now the proofs\n")
        return prove(lab)


def save(lab):
    with open(lab.run.path(STATE), "wb") as file:
        pickle.dump(lab, file)


def prove(lab):
    checks = LiveChecks()
    prove_all(lab, checks)
    prove_nat(lab, checks)
    prove_ipsec(lab, checks)
    prove_bgp(lab, checks)
    prove_tunnels(lab, checks)
    verdict = judge(checks)
    hints(lab)
    return verdict


def judge(checks):
    checks.table()
    print(f"{sum(verdict == 'yes' for _, verdict in checks.rows)} of {len(checks.rows)} proven\n")
    if any(verdict == "no verdict" for _, verdict in checks.rows):
        print("lab: this machine was too busy to tell; try again when nothing else runs", file=sys.stderr)
        return 1
    if not checks.all_held:
        print("lab: not everything was proven; it is left up for a look (packaging/lab logs)", file=sys.stderr)
        return 1
    return 0


def rates(lab):
    checks = LiveChecks()
    print("TCP (iperf3) through the tunnels that every tenant has to its branch, and a ping beside it: some 50 s\n")
    flows = Flows(lab)
    prove_rate(checks, flows, seconds=30, skip=5)
    prove_another_rate(checks, flows, seconds=15)
    return judge(checks)


def failover(lab):
    checks = LiveChecks()
    print("TCP and 100 datagrams a second from web1 of each tenant to its branch, while charon there is killed: some 40 s\n")
    try:
        prove_failover(lab, checks)
    finally:
        save(lab)  # other processes are the sites' now
    return judge(checks)


def hints(lab):
    ctl = f"{os.path.relpath(lab.gateway.hnvctl)} --socket {lab.gateway.config['api']['socket']}"
    print("To look further:\n"
          f"  {ctl} drops                      what was dropped and why, and the ledger\n"
          f"  {ctl} routes contoso             the route table, every candidate explained\n"
          f"  {ctl} lookup contoso 10.0.1.11   where a packet would go\n"
          f"  curl --unix-socket {lab.gateway.config['api']['socket']} http://localhost/metrics\n"
          "  packaging/lab run contoso-web1 curl 192.168.50.10\n"
          "  packaging/lab run contoso-web1 curl -6 'http://[fd50::10]/'\n"
          "  packaging/lab run contoso-web1 curl 192.0.2.80         a page on the internet, by NAT\n"
          "  packaging/lab run internet curl 198.51.100.1           the page that contoso publishes\n"
          f"  {ctl} nat sessions contoso       who talks to whom through NAT\n"
          "  packaging/lab run contoso-web1 curl 10.200.0.1         a page of contoso's site, by IPsec\n"
          f"  {ctl} vpn show contoso branch    the tunnel to it\n"
          f"  {ctl} vpn list contoso           all of its tunnels: branch, backup, and one that is broken on purpose\n"
          f"  {ctl} vpn doctor contoso broken  why that is not up\n"
          "  packaging/lab failover               the first tunnel's end is killed under traffic: the second one carries\n"
          "  packaging/lab rates                  iperf3 at a tunnel's rate, and at four times that\n"
          f"  {ctl} bgp summary contoso        its BGP session over that tunnel, and BFD\n"
          f"  {ctl} bgp routes contoso         what the site announced\n"
          "  packaging/lab run contoso-web1 curl 10.201.0.1         by a route that only BGP knows\n"
          "  packaging/lab run fabrikam-web1 …    the same commands, another network\n"
          "  packaging/lab run contoso-web1 tracepath -n fd10:0:0:3::11   the gateway is one hop; MTU 1400\n"
          "  packaging/lab run switch tcpdump -ni gw-fab0 proto gre\n"
          "  packaging/lab shell NAME             a shell there\n"
          f"  packaging/lab status | logs [NAME] | down\n\nNames for run and shell: {', '.join(NAMES)}")


def status(lab):
    gateway = lab.gateway
    alive = sum(start_time(e["pid"]) == e["started"] for e in lab.run.entries() if e["kind"] == "process")
    print(f"lab: up, {alive} processes, state in {lab.run.folder}")
    if not gateway.process.alive():
        print(f"gateway: NOT running (packaging/lab logs {gateway.name})")
        return 1
    system = gateway.api.get("/v1/system")
    print(f"gateway: pid {gateway.process.pid}, up {system['uptime']:.0f} s, generation {system['generation']}")
    for tenant in TENANTS:
        print(f"{tenant}: " + ", ".join(f"{k} {v}" for k, v in zip(COUNTERS, counted(lab, tenant))))
        for prefix in sorted(r["destinationPrefix"] for r in gateway.api.get(f"/v1/routingDomains/{tenant}/routes")["value"]
                             if any(c["source"] == "ebgp" for c in r["candidates"])):
            print(f"{tenant}: learned {prefix} by BGP")
        for tunnel in gateway.api.get(f"/v1/routingDomains/{tenant}/networkConnections")["value"]:
            if tunnel["connectionType"] == "IPSec":
                state = tunnel["status"]
                print(f"{tenant}: tunnel {tunnel['resourceId']} {state['connectionState']}",
                      *([f"({state['unreachabilityReason']})"] if state["unreachabilityReason"] else []))
    print("drops:", ", ".join(f"{r} {n}" for r, n in sorted(gateway.drops().items())) or "none")
    print("ledger:", ledger_balanced(gateway), end="\n\n")
    hints(lab)
    return 0


def execute(lab, name, *argv):
    """Becomes the command in that namespace; without one, a shell."""
    if name not in NAMES:
        print(f"lab: no {name}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    environment = {**os.environ, "PS1": f"[{name}] \\w \\$ "}
    argv = argv or ("bash", "--norc")
    os.execvpe("ip", ["ip", "netns", "exec", f"hnv-{lab.run.id}-{name}", *argv], environment)


WORK = {"prove": prove, "rates": rates, "failover": failover}  # what needs the lab to itself


def main():
    command, arguments = sys.argv[1], sys.argv[2:]
    wanted = {"shell": "one name", "run": "a name and a command"}.get(command, "no more arguments")
    few, many = {"shell": (1, 1), "run": (2, 1000), "logs": (0, 1)}.get(command, (0, 0))
    if not few <= len(arguments) <= many:
        print(f"lab: {command} takes {wanted}", file=sys.stderr)
        return 2
    if command == "up":
        with only_one():
            return up()
    run = existing()
    if command == "down":
        with only_one():
            if run:
                run.remove()
        print("lab: down" if run else "lab: was not up")
        return 0
    if run is None:
        print("lab: not up (packaging/lab up)", file=sys.stderr)
        return 1
    signal.signal(signal.SIGPIPE, signal.SIG_DFL if command in ("logs", "status") else signal.SIG_IGN)  # | head
    if command == "logs":
        dump_logs(run, *([10 ** 9] if arguments else []), name_part="".join(arguments), out=sys.stdout)
        return 0
    try:
        with open(run.path(STATE), "rb") as file:
            lab = pickle.load(file)
    except FileNotFoundError:
        print("lab: it did not come up whole (packaging/lab logs; packaging/lab up)", file=sys.stderr)
        return 1
    if command in WORK:
        with only_one():
            try:
                return WORK[command](lab)
            except (AssertionError, OSError) as error:  # before it came to any check
                print(f"lab: {command} cannot begin: {error} (packaging/lab status, packaging/lab logs)", file=sys.stderr)
                return 1
    return status(lab) if command == "status" else execute(lab, *arguments)


if __name__ == "__main__":
    sys.exit(main())
