// SPDX-License-Identifier: Apache-2.0
//
// The small process between the gateway and charon. The gateway gives its privileges up once it
// runs, and charon has hardly any; but a charon that died must be started again, and addresses come
// and go. So the gateway forks this process first of all. It makes the namespace in which charon
// lives, with one TUN for IKE, and then does nothing but what a few fixed messages of the gateway
// ask. It reads nothing of anybody else.
//
//   gateway ──(socket pair)── launcher ──fork, exec── charon
//      └───────── TUN, SA socket, VICI connections: file descriptors that the launcher hands over
//
// It ends when the gateway does, and ends charon before.
#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>

#include "compartments/owned_fd.h"
#include "compartments/result.h"

namespace hnv {

struct CharonPlace {
  std::string folder;  // for sockets and configuration: made, mode 0700, charon's
  uid_t user = 65'534;
  gid_t group = 65'534;
  std::string binary = "/usr/sbin/charon-systemd";
  // Where charon looks for plugins is compiled into it. For tests: a folder that is mounted there,
  // seen by charon only. Empty: the plugin is where the package put it.
  std::string plugins;
  std::string log;      // charon's, in `folder`; empty: standard error
  uint16_t mtu = 1500;  // of the TUN
};

inline constexpr const char* kCharonPlugins = "/usr/lib/ipsec/plugins";

// The paths inside of a place.
[[nodiscard]] std::string sa_socket_of(const CharonPlace& place);
[[nodiscard]] std::string vici_socket_of(const CharonPlace& place);

// What the gateway asks and the launcher says: one message a packet, both fixed.
struct LauncherRequest {
  enum class Kind : uint32_t { start, stop, kill, add_address, remove_address, connect };
  Kind kind = Kind::start;
  uint32_t family = 0;  // 4 or 6
  uint8_t address[16] = {};
};
struct LauncherReport {
  enum class Kind : uint32_t {
    ready,      // with the TUN and the SA socket, once
    started,    // value: charon's pid
    ended,      // value: its wait status
    connected,  // with two VICI connections
    failed,     // value: an errno; `request` failed
  };
  Kind kind = Kind::failed;
  LauncherRequest::Kind request = LauncherRequest::Kind::start;
  int32_t value = 0;
};

struct Launcher {
  OwnedFd control;  // non-blocking; LauncherRequest out, LauncherReport in
  OwnedFd tun;      // non-blocking; IP packets, IFF_NO_PI
  OwnedFd sas;      // listening: for SaChannel
  pid_t pid = -1;
};

// REQUIRES root, and a process that has no other thread yet. Waits until the place is ready (a
// second at most); the error says what could not be made.
[[nodiscard]] Result<Launcher> fork_launcher(const CharonPlace& place);

}  // namespace hnv
