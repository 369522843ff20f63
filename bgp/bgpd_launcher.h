// SPDX-License-Identifier: Apache-2.0
//
// The small process between the gateway and bgpd. The gateway gives its privileges up once it runs;
// but a bgpd that died must be started again, and routing domains come and go. So the gateway forks
// this process first of all. It does nothing but what a few fixed messages of the gateway ask, and
// reads nothing of anybody else.
//
//   gateway ──(socket pair)── launcher ──fork, exec── bgpd
//      └───────── zserv socket, TUNs, vty connections: file descriptors that the launcher hands
//      over
//
// bgpd opens a domain's sockets in that domain's network namespace, for which it needs
// CAP_SYS_ADMIN, while it parses hostile bytes. So launcher and bgpd live in a user namespace,
// which owns those network namespaces: outside of it bgpd's powers are none. Where bgpd cannot
// reach a namespace it goes on in its own. That one has no interface, and the host's namespaces
// cannot be seen from there.
//
// It ends when the gateway does, and ends bgpd before.
#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>

#include "compartments/owned_fd.h"
#include "compartments/result.h"

namespace hnv {

struct BgpdPlace {
  std::string folder;  // for sockets: made, mode 0700, bgpd's
  uid_t user = 65'534;
  gid_t group = 65'534;
  std::string binary = "/usr/lib/frr/bgpd";
  std::string log;                // bgpd's, in `folder`; empty: standard error
  uint32_t descriptors = 16'384;  // bgpd needs two for each domain, and one for each session
};

// In every domain's namespace.
inline constexpr const char* kBgpTun = "bgp0";
inline constexpr uint16_t kBgpPort = 179;

[[nodiscard]] std::string zserv_socket_of(const BgpdPlace& place);
[[nodiscard]] std::string vty_socket_of(const BgpdPlace& place);

// What the gateway asks and the launcher says: one message a packet, both fixed.
struct BgpdRequest {
  enum class Kind : uint32_t {
    start,
    stop,
    kill,
    connect,
    add_domain,  // a namespace with a TUN; value: its MTU
    remove_domain,
    add_address,
    remove_address,
    look,  // who listens where
    connect_reader,
  };
  Kind kind = Kind::start;
  uint32_t domain = 0;
  uint32_t value = 0;  // of an address: its family, 4 or 6
  uint8_t address[16] = {};
};
struct BgpdReport {
  enum class Kind : uint32_t {
    ready,         // with the zserv socket, once
    started,       // value: bgpd's pid
    ended,         // value: its wait status
    connected,     // with two vty connections
    domain_added,  // with its TUN; value: the TUN's index
    listeners,     // value: in the domain's namespace; other: in bgpd's own
    failed,        // value: an errno; `request` failed
    reader,        // with a vty connection
  };
  Kind kind = Kind::failed;
  BgpdRequest::Kind request = BgpdRequest::Kind::start;
  uint32_t domain = 0;
  int32_t value = 0;
  uint32_t other = 0;
};

struct BgpdLauncher {
  OwnedFd control;  // non-blocking; BgpdRequest out, BgpdReport in
  OwnedFd zserv;    // listening, non-blocking: for ZservServer
  pid_t pid = -1;
};

// REQUIRES root, and a process that has no other thread yet. Waits until the place is ready (some
// seconds at most); the error says what could not be made.
[[nodiscard]] Result<BgpdLauncher> fork_bgpd_launcher(const BgpdPlace& place);

}  // namespace hnv
