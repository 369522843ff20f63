# SPDX-License-Identifier: Apache-2.0
"""Tenants' routers: GoBGP, BIRD and ExaBGP, each in a namespace of its own, whose one interface is a
TUN (site0) of whoever drives the topology."""

import json
import os
import shutil
import sys

from .wait import wait_for


def bgpd_of(made):
    """The process id of the bgpd that a topology's gateway runs."""
    return next(int(pid) for pid in made.gateway.space("sh", "-c", "pgrep -x bgpd || true").stdout.split()
                if _descends(int(pid), made.gateway.process.popen.pid))


def _descends(pid, ancestor):
    while pid > 1:
        if pid == ancestor:
            return True
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            pid = int(file.read().rsplit(")", 1)[1].split()[1])
    return False


class Router:
    """A namespace with site0, which the subclass's daemon speaks through."""

    def __init__(self, run, name, wire, addresses):
        self.run, self.name, self.addresses = run, name, addresses
        self.space = run.namespace(name)
        wire(f"/run/netns/{self.space.id}", [a.split("/")[0] for a in addresses])
        self.space("sysctl", "-qw", "net.ipv6.conf.site0.disable_ipv6=0", "net.ipv6.conf.site0.accept_ra=0")
        self.space.ip(*(f"addr add {a} dev site0{' nodad' if ':' in a else ''}" for a in addresses), "link set site0 up")
        self.process = None

    @property
    def id(self):
        return self.addresses[0].split("/")[0]

    def stop(self, number=15):
        self.process.stop(number)

    def write(self, file, text, mode=0o644):
        path = self.run.path(self.name, file)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(path, mode)
        return path


class Gobgp(Router):
    """With graceful restart, in both families."""

    def start(self, own_as, peer, peer_as, password=None):
        self.socket = self.run.path(self.name, "gobgp.sock")
        families = "".join(f"""
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "{f}-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = true
""" for f in ("ipv4", "ipv6"))
        conf = self.write("gobgp.toml", f"""
[global.config]
  as = {own_as}
  router-id = "{self.id}"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "{peer}"
    peer-as = {peer_as}
    auth-password = "{password or ''}"
  [neighbors.timers.config]
    connect-retry = 5
    idle-hold-time-after-reset = 1
  [neighbors.graceful-restart.config]
    enabled = true
    restart-time = 60
{families}""")
        self.process = self.space.spawn(self.name, "gobgpd", "-f", conf, "--api-hosts", f"unix://{self.socket}",
                                        "--log-level", "debug")
        wait_for(lambda: os.path.exists(self.socket), 10, f"{self.name}: its API", tell=self.process.output)
        return self

    def gobgp(self, *argv, check=True):
        return self.space("gobgp", "--target", f"unix://{self.socket}", *argv, check=check).stdout

    def add(self, prefix, *more):
        family = ["-a", "ipv6"] if ":" in prefix else []
        self.gobgp("global", "rib", "add", *family, prefix, *more)

    def delete(self, prefix):
        self.gobgp("global", "rib", "del", *(["-a", "ipv6"] if ":" in prefix else []), prefix)

    def learned(self, family="ipv4"):
        """Prefix to MED of what others announced, stale or not."""
        paths = json.loads(self.gobgp("global", "rib", "-a", family, "-j") or "{}")
        out = {}
        for prefix, routes in paths.items():
            for route in routes:
                if route.get("source-id"):
                    out[prefix] = next((a["metric"] for a in route["attrs"] if a["type"] == 4), 0)
        return out


class Bird(Router):
    """BIRD 2, without graceful restart."""

    def start(self, own_as, peer, peer_as, routes, extra=""):
        four = "\n".join(f"  route {p} blackhole {{ bgp_med = {med}; }};" for p, med in routes.items() if ":" not in p)
        six = "\n".join(f"  route {p} blackhole {{ bgp_med = {med}; }};" for p, med in routes.items() if ":" in p)
        conf = self.write("bird.conf", f"""
router id {self.id};
log stderr all;
protocol device {{ }}
protocol direct {{ ipv4; ipv6; }}
protocol static s4 {{
  ipv4;
{four}
}}
protocol static s6 {{
  ipv6;
{six}
}}
protocol bgp hub {{
  local {self.id} as {own_as};
  neighbor {peer} as {peer_as};
  connect retry time 2;
  error wait time 1, 5;
  graceful restart yes;
  {extra}
  ipv4 {{ import all; export where source = RTS_STATIC; next hop self; }};
  ipv6 {{ import all; export where source = RTS_STATIC; next hop self; }};
}}
""")
        self.control = self.run.path(self.name, "bird.ctl")
        self.process = self.space.spawn(self.name, "bird", "-f", "-c", conf, "-s", self.control,
                                        "-P", self.run.path(self.name, "bird.pid"))
        wait_for(lambda: os.path.exists(self.control), 10, f"{self.name}: its control socket", tell=self.process.output)
        return self

    def birdc(self, *words):
        return self.space("birdc", "-s", self.control, *words, check=False).stdout

    def established(self):
        return "Established" in self.birdc("show", "protocols", "hub")

    def learned(self):
        """Prefixes that the gateway announced."""
        text = self.birdc("show", "route", "protocol", "hub")
        return {line.split()[0] for line in text.splitlines() if "/" in line.split(" ")[0]}


def bird_session(name, own, own_as, peer, peer_as, *, hold=9, med=0, multihop=None, bfd=True):
    """A session of BIRD's as its configuration says it: announces everything, with this MED."""
    return f"""
protocol bgp to_{name} {{
  local {own} as {own_as};
  neighbor {peer} as {peer_as};
  {f"multihop {multihop};" if multihop else ""}
  hold time {hold};
  connect retry time 1;
  error wait time 1, 2;
  {"bfd yes;" if bfd else ""}
  ipv4 {{ import all; export filter {{ if proto != "announced" then reject; bgp_med = {med}; accept; }}; }};
}}
"""


class BirdIn:
    """BIRD 2 in a namespace that is there already. It offers BFD every 50 ms, and follows who wants it slower.
    `through`: (interface, prefix), where a way to the gateway is not a network of this namespace's own."""

    def __init__(self, run, space, name, router_id, announced, sessions, through=None):
        self.space = space
        routes = "".join(f"  route {prefix} blackhole;\n" for prefix in announced)
        ways = f'protocol static {{ ipv4 {{ preference 50; }}; route {through[1]} via "{through[0]}"; }}' if through else ""
        conf, self.control = run.path(name, "bird.conf"), run.path(name, "bird.ctl")
        with open(conf, "w", encoding="utf-8") as file:
            file.write(f"""
router id {router_id};
log stderr all;
protocol device {{ }}
protocol bfd {{
  interface "*" {{ min rx interval 50 ms; min tx interval 50 ms; multiplier 3; }};
  multihop {{ min rx interval 50 ms; min tx interval 50 ms; multiplier 3; }};
}}
protocol static announced {{
  ipv4;
{routes}}}
{ways}
{"".join(sessions)}
""")
        self.process = space.spawn(f"{name}-bird", "bird", "-f", "-c", conf, "-s", self.control,
                                   "-P", run.path(name, "bird.pid"))
        wait_for(lambda: "Daemon is up" in self.birdc("show", "status"), 10, f"{name}: BIRD", tell=self.process.output)

    def birdc(self, *words):
        return self.space("birdc", "-s", self.control, *words, check=False).stdout

    def learned(self, session):
        """Prefixes that the gateway announced."""
        text = self.birdc("show", "route", "protocol", f"to_{session}")
        return {line.split()[0] for line in text.splitlines() if "/" in line.split(" ")[0]}

    def established(self, session):
        """At this very moment; what the gateway's API says is half a second old."""
        return "Established" in self.birdc("show", "protocols", f"to_{session}")

    def bfd(self, peer):
        """(state, milliseconds of silence that it takes for a failure) of its session with `peer`, as agreed."""
        for line in self.birdc("show", "bfd", "sessions").splitlines():
            words = line.split()
            if words and words[0] == peer:
                return words[2], round(float(words[-1]) * 1000)
        return None

    def bfd_since(self, peer):
        """Since when that session is as it is."""
        return next(line.split()[3] for line in self.birdc("show", "bfd", "sessions").splitlines()
                    if line.split()[:1] == [peer])


class Exabgp(Router):
    """Announces what it is told, whatever that is."""

    def start(self, own_as, peer, peer_as, routes, password=None):
        announced = "\n".join(f"      route {p} next-hop self;" for p in routes)
        conf = self.write("exabgp.conf", f"""
neighbor {peer} {{
  router-id {self.id};
  local-address {self.id};
  local-as {own_as};
  peer-as {peer_as};
  {f'md5-password "{password}";' if password else ''}
  static {{
{announced}
  }}
}}
""")
        env = {"exabgp.daemon.user": "root", "exabgp.daemon.drop": "false", "exabgp.tcp.delay": "0",
               "exabgp.api.cli": "false", "exabgp.log.all": "true"}
        self.process = self.space.spawn(self.name, shutil.which("exabgp") or sys.exit("no exabgp"), conf, env=env)
        return self


