# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch in user space: an instance of its own (database, daemon, sockets) in a namespace,
and the VLAN switch that stands between gateway, hosts and physical networks.

The kernel here may know neither VLANs nor GRE; Open vSwitch's netdev datapath needs neither.
"""

import ctypes
import os
import socket

from .run import call, veth
from .traffic import SO_RCVBUFFORCE

_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
_PIDFD_GETFD = 438  # asm-generic/unistd.h; Python has no call for it
_QUEUE = 8 << 20    # bytes
_libc = ctypes.CDLL(None, use_errno=True)


class Ovs:
    """ovsdb-server and ovs-vswitchd of one namespace; `other_config` holds before the daemon starts."""

    def __init__(self, space, vswitchd="ovs-vswitchd", other_config=()):
        self.space, run = space, space.run
        self.folder = os.path.join(run.folder, f"ovs-{space.name}")
        os.makedirs(self.folder)
        self._socket = f"unix:{self.folder}/db.sock"
        call("ovsdb-tool", "create", f"{self.folder}/conf.db", _SCHEMA)
        # Both go to the background by themselves once they serve, so the call's end is the event.
        for daemon, argv in (
                ("ovsdb-server", [f"{self.folder}/conf.db", f"--remote=p{self._socket}"]),
                ("ovs-vswitchd", [self._socket])):
            program = daemon
            if daemon == "ovs-vswitchd":
                program = vswitchd
                call("ovs-vsctl", f"--db={self._socket}", "--no-wait", "init",
                     *(["--", "set", "Open_vSwitch", ".", *(f"other_config:{o}" for o in other_config)]
                       if other_config else []))
            pidfile = f"{self.folder}/{daemon}.pid"
            space(program, *argv, f"--pidfile={pidfile}", f"--log-file={self.folder}/{daemon}.log",
                  f"--unixctl={self.folder}/{daemon}.ctl", "-vconsole:off", "--detach", "--no-chdir",
                  env={**os.environ, "OVS_RUNDIR": self.folder})
            with open(pidfile, encoding="ascii") as file:
                self.pid = int(file.read())  # in the end ovs-vswitchd's
            run.record_daemon(f"{space.name}-{daemon}", self.pid)

    def vsctl(self, *argv):
        answer = call("ovs-vsctl", f"--db={self._socket}", "--timeout=20", *argv).stdout.strip()
        if "add-port" in argv:
            self._deepen_queues()
        return answer

    def _deepen_queues(self):
        """Open vSwitch reads each port from a socket that holds about 200 packets, and from all of
        them in the thread that also does its configuration. What a busy machine makes it lose so
        would look like the gateway's loss."""
        daemon = os.pidfd_open(self.pid)
        try:
            for number in os.listdir(f"/proc/{self.pid}/fd"):
                copy = _libc.syscall(_PIDFD_GETFD, daemon, int(number), 0)
                if copy < 0:
                    continue  # closed meanwhile
                try:
                    with socket.socket(fileno=copy) as sock:
                        if sock.family == socket.AF_PACKET:
                            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _QUEUE)
                except OSError:
                    os.close(copy)  # no socket
        finally:
            os.close(daemon)

    def ofctl(self, command, bridge, *argv, **options):
        return call("ovs-ofctl", "-O", "OpenFlow13,OpenFlow10", command,
                    f"unix:{self.folder}/{bridge}.mgmt", *argv, **options).stdout

    def appctl(self, *argv, **options):
        return call("ovs-appctl", "-t", f"{self.folder}/ovs-vswitchd.ctl", *argv, **options).stdout

    def replace_flows(self, bridge, flows):
        """Makes the bridge hold exactly these flows, in one transaction."""
        path = os.path.join(self.folder, f"{bridge}.flows")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(flows) + "\n")
        call("ovs-ofctl", "--bundle", "-O", "OpenFlow14", "replace-flows",
             f"unix:{self.folder}/{bridge}.mgmt", path)


class Switch:
    """The physical switch: access ports and trunks."""

    def __init__(self, run, name="switch"):
        self.space = run.namespace(name)
        self.ovs = Ovs(self.space)
        self.ovs.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev",
                       "protocols=OpenFlow10,OpenFlow13,OpenFlow14")

    def connect(self, port, space, interface, vlan=None, trunks=None, mtu=1500):
        """Wires interface of space to a port of the switch, which carries its name in `port`."""
        veth(self.space, port, space, interface, mtu)
        options = [f"tag={vlan}"] if vlan else []
        if trunks:
            options.append(f"trunks={','.join(str(t) for t in trunks)}")
        self.ovs.vsctl("add-port", "br0", port, *options)

    def dump(self):
        return self.ovs.ofctl("dump-ports", "br0") + self.ovs.appctl("fdb/show", "br0")
