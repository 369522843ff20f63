// SPDX-License-Identifier: Apache-2.0
#include "vpn/charon_launcher.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <initializer_list>
#include <linux/capability.h>
#include <net/if.h>
#include <optional>
#include <poll.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "compartments/daemon_launcher.h"
#include "compartments/fd_message.h"
#include "compartments/route_socket.h"
#include "vpn/charon_config.h"
#include "vpn/sa_channel.h"
#include "vpn/vici_client.h"

namespace hnv {
namespace {

constexpr const char* kTun = "ike0";
constexpr int kTunQueue = 4096;  // packets: every tunnel speaks at once after a restart
constexpr int kStartMilliseconds = 5'000;
constexpr int kEndMilliseconds = 3'000;

using Kind = LauncherReport::Kind;

tl::unexpected<Error> fault(std::string_view what) {
  return fail(ErrorCode::internal, fmt::format("{}: {}", what, std::strerror(errno)));
}

void send_report(int control, const LauncherReport& report, std::initializer_list<int> fds = {}) {
  (void)send_with_fds(control, &report, sizeof report, fds);
}

Result<OwnedFd> make_ike_tun(uint16_t mtu) {
  OwnedFd tun = make_tun(kTun, mtu);
  if (!tun) return fault("making the TUN");
  ifreq request{};
  std::strncpy(request.ifr_name, kTun, IFNAMSIZ - 1);
  request.ifr_qlen = kTunQueue;
  const OwnedFd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (ioctl(any.get(), SIOCSIFTXQLEN, &request) != 0) return fault("the TUN's queue");
  return tun;
}

class LauncherProcess {
 public:
  LauncherProcess(CharonPlace place, OwnedFd control)
      : place_(std::move(place)), control_(std::move(control)) {}

  // Never returns: the process ends with it.
  [[noreturn]] void run() {
    if (const auto made = prepare(); !made) {
      // Read by fork_launcher only when there was no report.
      (void)!write(control_.get(), made.error().message.data(), made.error().message.size());
      _exit(1);
    }
    serve();
    end_daemon(charon_, children_, kEndMilliseconds);
    remove_folder(place_.folder, place_.user);
    _exit(0);
  }

 private:
  Result<void> prepare() {
    if (auto made = make_namespace(); !made) return made;
    if (auto made = make_folder(); !made) return made;
    auto tun = make_ike_tun(place_.mtu);
    if (!tun) return tl::make_unexpected(tun.error());
    if (auto made = make_network(); !made) return made;
    auto sas = listen_for_sas(sa_socket_of(place_), place_.user);
    if (!sas) return tl::make_unexpected(sas.error());
    children_ = watch_children();
    if (auto kept = keep_privileges(); !kept) return kept;
    send_report(control_.get(), {Kind::ready, {}, 0}, {tun->get(), sas->get()});
    tun_ = std::move(*tun);  // stays also when the gateway closes its own
    return {};
  }

  // A network of charon's own; for tests, plugins from another folder.
  [[nodiscard]] Result<void> make_namespace() const {
    if (unshare(CLONE_NEWNET | (place_.plugins.empty() ? 0 : CLONE_NEWNS)) != 0) {
      return fault("a namespace for charon");
    }
    if (place_.plugins.empty()) return {};
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount(place_.plugins.c_str(), kCharonPlugins, nullptr, MS_BIND, nullptr) != 0) {
      return fault("mounting " + place_.plugins);
    }
    return {};
  }

  [[nodiscard]] Result<void> make_folder() const {
    std::error_code error;
    std::filesystem::create_directories(place_.folder, error);
    if (error || chmod(place_.folder.c_str(), 0700) != 0 ||
        chown(place_.folder.c_str(), place_.user, place_.group) != 0) {
      return fault("the folder " + place_.folder);
    }
    CharonFiles files{vici_socket_of(place_), sa_socket_of(place_), place_.log};
    const std::string conf = place_.folder + "/strongswan.conf";
    write_file(conf, strongswan_conf(files));
    if (chown(conf.c_str(), place_.user, place_.group) != 0) return fault(conf);
    return {};
  }

  Result<void> make_network() {
    auto routes = RouteSocket::open();
    if (!routes) return tl::make_unexpected(routes.error());
    routes_.emplace(std::move(*routes));
    interface_ = if_nametoindex(kTun);
    // charon's packets only: no router solicitations and no addresses by themselves.
    write_file("/proc/sys/net/ipv6/conf/all/accept_ra", "0");
    write_file(fmt::format("/proc/sys/net/ipv6/conf/{}/addr_gen_mode", kTun), "1");
    if (auto up = routes_->set_up(1); !up) return up;
    if (auto up = routes_->set_up(interface_); !up) return up;
    if (auto way = routes_->add_default_route(interface_, Family::ipv4); !way) return way;
    // A kernel without IPv6 has tunnels of IPv4.
    (void)routes_->add_default_route(interface_, Family::ipv6);
    return {};
  }

  // Addresses of the TUN, charon's user, its one capability, and ending it.
  static Result<void> keep_privileges() {
    const rlimit none{0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0) return fault("core dumps");
    if (!keep_capabilities(
            {CAP_NET_ADMIN, CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_KILL, CAP_NET_BIND_SERVICE})) {
      return fault("dropping capabilities");
    }
    return {};
  }

  void serve() {
    for (;;) {
      std::array<pollfd, 2> fds{pollfd{control_.get(), POLLIN, 0},
                                pollfd{children_.get(), POLLIN, 0}};
      (void)poll(fds.data(), fds.size(), -1);
      if (fds[1].revents != 0) reap();
      if (fds[0].revents == 0) continue;
      LauncherRequest request;
      const ssize_t n = recv(control_.get(), &request, sizeof request, 0);
      if (n != sizeof request) return;  // the gateway is gone
      obey(request);
    }
  }

  void reap() {
    signalfd_siginfo ignored{};
    (void)!read(children_.get(), &ignored, sizeof ignored);
    int status = 0;
    if (charon_ < 0 || waitpid(charon_, &status, WNOHANG) != charon_) return;
    charon_ = -1;
    send_report(control_.get(), {Kind::ended, {}, status});
  }

  void obey(const LauncherRequest& request) {
    switch (request.kind) {
      case LauncherRequest::Kind::start:
        return start();
      case LauncherRequest::Kind::stop:
      case LauncherRequest::Kind::kill:
        if (charon_ > 0) {
          (void)kill(charon_, request.kind == LauncherRequest::Kind::kill ? SIGKILL : SIGTERM);
        }
        return;
      case LauncherRequest::Kind::add_address:
      case LauncherRequest::Kind::remove_address:
        return change_address(request);
      case LauncherRequest::Kind::connect:
        return connect_twice();
    }
  }

  void change_address(const LauncherRequest& request) {
    std::array<uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), request.address, sizeof request.address);
    IpAddress<Space::external> address = Ip6<Space::external>(bytes);
    if (request.family == 4) {
      address = Ip4<Space::external>(uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 |
                                     uint32_t{bytes[2]} << 8 | uint32_t{bytes[3]});
    }
    const auto done = request.kind == LauncherRequest::Kind::add_address
                          ? routes_->add_address(interface_, address)
                          : routes_->remove_address(interface_, address);
    if (!done) send_report(control_.get(), {Kind::failed, request.kind, errno});
  }

  // As charon's user: the folder is closed to everybody else.
  void connect_twice() {
    setfsuid(place_.user);
    const auto commands = connect_vici(vici_socket_of(place_));
    const auto events = connect_vici(vici_socket_of(place_));
    const int why = errno;
    setfsuid(gateway_);
    if (commands && events) {
      send_report(control_.get(), {Kind::connected, {}, 0}, {commands->get(), events->get()});
    } else {
      send_report(control_.get(), {Kind::failed, LauncherRequest::Kind::connect, why});
    }
  }

  void start() {
    if (charon_ > 0) return;
    const pid_t launcher = getpid();
    const pid_t pid = fork();
    if (pid == 0) become_charon(launcher);
    if (pid < 0) {
      send_report(control_.get(), {Kind::failed, LauncherRequest::Kind::start, errno});
      return;
    }
    charon_ = pid;
    send_report(control_.get(), {Kind::started, {}, pid});
  }

  [[noreturn]] void become_charon(pid_t launcher) const {
    // The groups need a capability that ends with the user.
    const bool good = syscall(SYS_setgroups, 0, nullptr) == 0 &&
                      become(place_.user, place_.group, {CAP_NET_BIND_SERVICE}, launcher);
    close_the_rest();
    std::string conf = "STRONGSWAN_CONF=" + place_.folder + "/strongswan.conf";
    std::string socket = "HNV_GATEWAY_SA_SOCKET=" + sa_socket_of(place_);
    std::string gateway = fmt::format("HNV_GATEWAY_UID={}", gateway_);
    std::string binary = place_.binary;
    std::array<char*, 2> argv{binary.data(), nullptr};
    std::array<char*, 4> environment{conf.data(), socket.data(), gateway.data(), nullptr};
    if (good) execve(binary.c_str(), argv.data(), environment.data());
    _exit(127);
  }
  const CharonPlace place_;
  const uid_t gateway_ = geteuid();
  OwnedFd control_;
  OwnedFd tun_;
  OwnedFd children_;
  std::optional<RouteSocket> routes_;
  unsigned interface_ = 0;
  pid_t charon_ = -1;
};

// The first message: descriptors when the launcher is ready, else what went wrong.
Result<void> take_ready(Launcher& launcher) {
  pollfd ready{launcher.control.get(), POLLIN, 0};
  if (poll(&ready, 1, kStartMilliseconds) != 1) {
    return fail(ErrorCode::internal, "charon's launcher does not come up");
  }
  std::array<char, 512> bytes{};
  FdMessage message = receive_with_fds(launcher.control.get(), bytes.data(), bytes.size());
  if (message.size != sizeof(LauncherReport) || !message.fds[1]) {
    return fail(ErrorCode::internal, std::string(bytes.data(), message.size));
  }
  launcher.tun = std::move(message.fds[0]);
  launcher.sas = std::move(message.fds[1]);
  return {};
}

}  // namespace

std::string sa_socket_of(const CharonPlace& place) { return place.folder + "/sa"; }
std::string vici_socket_of(const CharonPlace& place) { return place.folder + "/vici"; }

Result<Launcher> fork_launcher(const CharonPlace& place) {
  auto forked = fork_daemon_launcher(
      [&](OwnedFd control) { LauncherProcess(place, std::move(control)).run(); });
  if (!forked) return tl::make_unexpected(forked.error());
  Launcher launcher{std::move(forked->control), {}, {}, forked->pid};
  if (auto ready = take_ready(launcher); !ready) {
    end_launcher(launcher.pid);
    return tl::make_unexpected(ready.error());
  }
  (void)fcntl(launcher.control.get(), F_SETFL, O_NONBLOCK);
  return launcher;
}

}  // namespace hnv
