// SPDX-License-Identifier: Apache-2.0
//
// What the small processes that start a daemon and keep the privileges for it have in common
// (vpn/charon_launcher.h, bgp/bgpd_launcher.h). Where nothing else is said errno says why something
// failed.
//
// Threads: a process with one.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <sys/types.h>

#include "compartments/owned_fd.h"
#include "compartments/result.h"

namespace hnv {

struct ForkedLauncher {
  OwnedFd control;  // our end of a pair of SOCK_SEQPACKET sockets
  pid_t pid = -1;
};
// Forks; the child has its end of the pair and nothing else open but standard input to error, and
// signals that end a service mean nothing to it: the end of its socket is its end. `child` does not
// return. Whoever does not like what the child says first ends it with `end_launcher`.
[[nodiscard]] Result<ForkedLauncher> fork_daemon_launcher(
    const std::function<void(OwnedFd)>& child);
void end_launcher(pid_t launcher);

// A TUN in the namespace of the caller: non-blocking, IP packets without a header. Not open:
// failed.
[[nodiscard]] OwnedFd make_tun(const char* name, uint32_t mtu);
// A file of /proc/sys, or one of a daemon's.
void write_file(const std::string& path, const std::string& text);

// Tells of children that ended, as a signalfd.
[[nodiscard]] OwnedFd watch_children();
// Nothing more than these capabilities, now and after an exec.
[[nodiscard]] bool keep_capabilities(std::initializer_list<int> capabilities);
// For the child that is to be the daemon: signals as they were, standard input from nowhere, the
// user and group, of all capabilities these, through the exec; and it ends with its parent.
[[nodiscard]] bool become(uid_t user, gid_t group, std::initializer_list<int> capabilities,
                          pid_t parent);
// All but standard input to error is closed.
void close_the_rest();

// Asks the daemon to end, waits for it on `children` so long, then kills it. -1: there is none.
void end_daemon(pid_t daemon, const OwnedFd& children, int milliseconds);
// The daemon's folder: what is in it is the daemon's, and so is the right to remove that.
void remove_folder(const std::string& folder, uid_t owner);

}  // namespace hnv
