# SPDX-License-Identifier: Apache-2.0
"""A tenant's site: an unmodified strongSwan whose ESP is in user space (kernel-libipsec), in a
namespace of its own."""

import contextlib
import os
import signal

from .run import call
from .vici import Vici
from .wait import wait_for

PLUGINS = ("random nonce openssl pem pkcs1 pkcs8 x509 revocation constraints pubkey kdf hmac aes gcm sha1 sha2 "
           "kernel-libipsec socket-default").split()
CONF = """
charon-systemd {{
  load_modular = yes
  block_threshold = 10000
  cookie_threshold = 10000
  cookie_threshold_ip = 10000
  retransmit_timeout = 1
  retransmit_tries = 3
  journal {{
    default = -1
  }}
  filelog {{
    log {{
      path = {log}
      default = 1
      ike_name = yes
      flush_line = yes
    }}
  }}
  plugins {{
    {plugins}
    # Its own routes are no reason to look whether every SA still has its way.
    kernel-netlink {{
      load = yes
      roam_events = no
    }}
    vici {{
      load = yes
      socket = unix://{vici}
    }}
  }}
}}
"""


class Site:
    def __init__(self, run, space, name):
        self.run, self.space, self.name = run, space, name
        self._path = run.path(name, "vici")
        self._log = run.path(name, "charon.log")
        conf = run.path(name, "strongswan.conf")
        with open(conf, "w", encoding="utf-8") as file:
            file.write(CONF.format(log=self._log, vici=self._path,
                                   plugins="\n    ".join(f"{p} {{ load = yes }}" for p in PLUGINS)))
        self._conf = conf
        self.start()

    def start(self):
        """Its charon, which knows no connections yet. kernel-libipsec makes its own TUN, and routes in table 220."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self.process = self.space.spawn(f"{self.name}-charon", "/usr/sbin/charon-systemd", env={"STRONGSWAN_CONF": self._conf})
        wait_for(lambda: os.path.exists(self._path), 10, f"{self.name}: charon's control socket", tell=self.log)
        self.vici = wait_for(lambda: Vici(self._path), 5, f"{self.name}: a connection to charon")

    def kill(self):
        """Its charon is gone without a farewell, and with it its ESP, its TUN and the routes into that."""
        self.process.send(signal.SIGKILL)
        wait_for(lambda: not self.process.alive(), 5, f"{self.name}: the end of its charon")

    def __getstate__(self):
        return {**self.__dict__, "vici": None}  # another command of the lab does not steer it

    def log(self, most=6000):
        try:
            with open(self._log, encoding="utf-8", errors="replace") as file:
                return file.read()[-most:]
        except OSError:
            return ""

    def log_size(self):
        return os.path.getsize(self._log)

    def log_since(self, position):
        with open(self._log, encoding="utf-8", errors="replace") as file:
            file.seek(position)
            return file.read().splitlines()

    def logged_since(self, position, text):
        return any(text in line for line in self.log_since(position))

    def another_connection(self):
        return Vici(self._path)

    def connection(self, name, local, remote, *, local_id, remote_id, local_ts, remote_ts="0.0.0.0/0", psk=None,
                   owners=(), certificate=None, key=None, ca=None, remote_psk=None, start="none",
                   ike="aes256gcm16-prfsha384-ecp384", esp="aes256gcm16-ecp384", dpd="0s", **more):
        """One connection; with a certificate it is presented, whatever the other side presents. `more` is charon's own."""
        auth_local = {"auth": "pubkey", "id": local_id, "certs": [_pem(certificate)]} if certificate else {
            "auth": "psk", "id": local_id}
        auth_remote = {"auth": "pubkey", "id": remote_id} if ca else {"auth": "psk", "id": remote_id}
        if psk:
            self.vici.must("load-shared", {"id": name, "type": "IKE", "data": psk, "owners": list(owners) or [remote_id]})
        if key:
            self.vici.must("load-key", {"type": "any", "data": _pem(key)})
        if ca:
            self.vici.must("load-cert", {"type": "X509", "flag": "CA", "data": _pem(ca)})
        if remote_psk:
            self.vici.must("load-shared", {"id": name + "-r", "type": "IKE", "data": remote_psk, "owners": [remote_id]})
        self.vici.must("load-conn", {name: {
            "version": "2", "local_addrs": [local], "remote_addrs": [remote], "mobike": "no",
            "proposals": [ike], "unique": "replace", "dpd_delay": dpd,
            "local": auth_local, "remote": auth_remote,
            "children": {name: {"mode": "tunnel", "local_ts": [local_ts], "remote_ts": remote_ts if isinstance(remote_ts, list) else [remote_ts],
                                "esp_proposals": [esp], "rekey_time": "1h", "start_action": start}}, **more}})

    def forget(self, name, force="no"):
        """With force it does not wait for the other side to agree."""
        self.vici.ask("unload-conn", {"name": name})
        self.vici.ask("terminate", {"ike": name, "timeout": "2000", "force": force})
        self.vici.ask("unload-shared", {"id": name})
        self.vici.ask("unload-shared", {"id": name + "-r"})

    def initiate(self, name, timeout=6000):
        """Whether it came up."""
        return self.vici.ask("initiate", {"child": name, "ike": name, "timeout": str(timeout)}).get("success") == "yes"

    def children(self, name=None):
        """The installed children of a connection (None: of all), by charon's number."""
        found = {}
        for event in self.vici.ask("list-sas", {"ike": name} if name else {}, stream="list-sa"):
            for ike in event.values():
                for child in ike.get("child-sas", {}).values():
                    if child.get("state") == "INSTALLED":
                        found[child["uniqueid"]] = child
        return found


def _pem(path):
    with open(path, encoding="ascii") as file:
        return file.read()


class Authority:
    """A certificate authority of a tenant, with what it signs."""

    def __init__(self, run, name):
        self.folder = os.path.dirname(run.path("ca", name, "x"))
        self.name = name
        self.key, self.certificate = self._file("ca.key"), self._file("ca.pem")
        call("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2,
             "-keyout", self.key, "-out", self.certificate, "-subj", f"/O={name}/CN={name} authority",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def _file(self, name):
        return os.path.join(self.folder, name)

    def sign(self, identity, days=2):
        """Key and certificate for a domain name; with 0 days it has expired at once."""
        key, request, certificate = (self._file(f"{identity}.{end}") for end in ("key", "csr", "pem"))
        extensions = self._file(f"{identity}.ext")
        with open(extensions, "w", encoding="ascii") as file:
            file.write(f"subjectAltName=DNS:{identity}\n")
        call("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
             "-out", request, "-subj", f"/O={self.name}/CN={identity}")
        call("openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
             "-days", days, "-extfile", extensions, "-out", certificate)
        return key, certificate

    def revoke(self, certificate=None):
        """Its revocation list, with this certificate on it from now on."""
        config, crl = self._file("ca.conf"), self._file("ca.crl")
        if not os.path.exists(config):
            for name, text in (("index.txt", ""), ("crlnumber", "01\n"), ("ca.conf", (
                    f"[ca]\ndefault_ca=one\n[one]\ndatabase={self._file('index.txt')}\ncrlnumber={self._file('crlnumber')}\n"
                    "default_md=sha256\ndefault_crl_days=1\ncrl_extensions=crl\n[crl]\nauthorityKeyIdentifier=keyid:always\n"))):
                with open(self._file(name), "w", encoding="ascii") as file:
                    file.write(text)
        by = ("-config", config, "-cert", self.certificate, "-keyfile", self.key)
        if certificate:
            call("openssl", "ca", *by, "-revoke", certificate)
        call("openssl", "ca", *by, "-gencrl", "-out", crl)
        return crl
