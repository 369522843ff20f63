// SPDX-License-Identifier: Apache-2.0
#include "compartments/daemon_launcher.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

namespace hnv {
namespace {

constexpr std::array<int, 3> kEndOfService{SIGTERM, SIGINT, SIGHUP};

using CapabilitySets = std::array<__user_cap_data_struct, 2>;

CapabilitySets sets_of(std::initializer_list<int> capabilities) {
  CapabilitySets sets{};
  for (const int capability : capabilities) sets[0].permitted |= 1U << capability;
  sets[0].effective = sets[0].inheritable = sets[0].permitted;
  return sets;
}

bool set_capabilities(const CapabilitySets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return syscall(SYS_capset, &header, sets.data()) == 0;
}

void keep_only(OwnedFd& control) {
  for (const int number : kEndOfService) (void)std::signal(number, SIG_IGN);
  constexpr int kPlace = 3;
  if (control.get() != kPlace) {
    (void)dup2(control.get(), kPlace);
    control = OwnedFd(kPlace);
  }
  (void)fcntl(kPlace, F_SETFD, FD_CLOEXEC);
  (void)syscall(SYS_close_range, kPlace + 1U, ~0U, 0U);
}

}  // namespace

Result<ForkedLauncher> fork_daemon_launcher(const std::function<void(OwnedFd)>& child) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail(ErrorCode::internal, fmt::format("a socket pair: {}", std::strerror(errno)));
  }
  ForkedLauncher out{OwnedFd(ends[0]), -1};
  OwnedFd theirs(ends[1]);
  out.pid = fork();
  if (out.pid < 0) {
    return fail(ErrorCode::internal, fmt::format("forking: {}", std::strerror(errno)));
  }
  if (out.pid == 0) {
    out.control = OwnedFd();
    keep_only(theirs);
    child(std::move(theirs));
    _exit(0);
  }
  return out;
}

void end_launcher(pid_t launcher) {
  (void)kill(launcher, SIGKILL);
  (void)waitpid(launcher, nullptr, 0);
}

OwnedFd make_tun(const char* name, uint32_t mtu) {
  OwnedFd tun(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  const OwnedFd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (!tun || ioctl(tun.get(), TUNSETIFF, &request) != 0) return {};
  request.ifr_mtu = static_cast<int>(mtu);
  if (ioctl(any.get(), SIOCSIFMTU, &request) != 0) return {};
  return tun;
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
}

OwnedFd watch_children() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return OwnedFd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

bool keep_capabilities(std::initializer_list<int> capabilities) {
  return set_capabilities(sets_of(capabilities)) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

bool become(uid_t user, gid_t group, std::initializer_list<int> capabilities, pid_t parent) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int number : kEndOfService) (void)std::signal(number, SIG_DFL);
  // In this order: the bounding set needs a capability that ends with the user.
  bool good = true;
  for (int capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    if (std::find(capabilities.begin(), capabilities.end(), capability) != capabilities.end()) {
      continue;
    }
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) good = false;
  }
  good = good && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && setresgid(group, group, group) == 0 &&
         setresuid(user, user, user) == 0 && set_capabilities(sets_of(capabilities));
  for (const int capability : capabilities) {
    good = good && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0;
  }
  good = good && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent;
  (void)umask(077);
  const OwnedFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  return good && dup2(null.get(), STDIN_FILENO) == STDIN_FILENO;
}

void close_the_rest() { (void)syscall(SYS_close_range, 3U, ~0U, 0U); }

void end_daemon(pid_t daemon, const OwnedFd& children, int milliseconds) {
  if (daemon < 0) return;
  (void)kill(daemon, SIGTERM);
  pollfd child{children.get(), POLLIN, 0};
  (void)poll(&child, 1, milliseconds);
  if (waitpid(daemon, nullptr, WNOHANG) == daemon) return;
  (void)kill(daemon, SIGKILL);
  (void)waitpid(daemon, nullptr, 0);
}

void remove_folder(const std::string& folder, uid_t owner) {
  const auto before = static_cast<uid_t>(setfsuid(owner));
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    std::filesystem::remove_all(entry.path(), ignored);
  }
  setfsuid(before);
  (void)rmdir(folder.c_str());
}

}  // namespace hnv
