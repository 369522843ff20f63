// SPDX-License-Identifier: Apache-2.0
#include "vpn/charon_launcher.h"

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
#include <optional>
#include <poll.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/format.h>

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

// A message with file descriptors beside it.
void send_report(int control, const LauncherReport& report, const std::vector<int>& fds = {}) {
  iovec part{const_cast<LauncherReport*>(&report), sizeof report};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> room{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = room.data();
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(head), fds.data(), fds.size() * sizeof(int));
  }
  (void)sendmsg(control, &message, MSG_NOSIGNAL);
}

Result<OwnedFd> make_tun(uint16_t mtu) {
  OwnedFd tun(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!tun) return fault("/dev/net/tun");
  ifreq request{};
  std::strncpy(request.ifr_name, kTun, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(tun.get(), TUNSETIFF, &request) != 0) return fault("making the TUN");
  const OwnedFd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  request.ifr_mtu = mtu;
  if (ioctl(any.get(), SIOCSIFMTU, &request) != 0) return fault("the TUN's MTU");
  request.ifr_qlen = kTunQueue;
  if (ioctl(any.get(), SIOCSIFTXQLEN, &request) != 0) return fault("the TUN's queue");
  return tun;
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
}

class LauncherProcess {
 public:
  LauncherProcess(CharonPlace place, OwnedFd control)
      : place_(std::move(place)), control_(std::move(control)) {}

  // Never returns: the process ends with it.
  [[noreturn]] void run() {
    keep_only_control();
    if (const auto made = prepare(); !made) {
      // Read by fork_launcher only when there was no report.
      (void)!write(control_.get(), made.error().message.data(), made.error().message.size());
      _exit(1);
    }
    serve();
    end_charon();
    remove_folder();
    _exit(0);
  }

 private:
  // Nothing of the gateway's but the socket and the log. Signals that end a service are the
  // gateway's to understand: its end is ours.
  void keep_only_control() {
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) (void)std::signal(number, SIG_IGN);
    constexpr int kPlace = 3;
    if (control_.get() != kPlace) {
      (void)dup2(control_.get(), kPlace);
      control_ = OwnedFd(kPlace);
    }
    (void)fcntl(kPlace, F_SETFD, FD_CLOEXEC);
    (void)syscall(SYS_close_range, kPlace + 1U, ~0U, 0U);
  }

  Result<void> prepare() {
    if (auto made = make_namespace(); !made) return made;
    if (auto made = make_folder(); !made) return made;
    auto tun = make_tun(place_.mtu);
    if (!tun) return tl::make_unexpected(tun.error());
    if (auto made = make_network(); !made) return made;
    auto sas = listen_for_sas(sa_socket_of(place_), place_.user);
    if (!sas) return tl::make_unexpected(sas.error());
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    children_ = OwnedFd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (auto kept = keep_capabilities(); !kept) return kept;
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
  static Result<void> keep_capabilities() {
    constexpr std::array<int, 6> kKept{CAP_NET_ADMIN, CAP_SETUID, CAP_SETGID,
                                       CAP_SETPCAP,   CAP_KILL,   CAP_NET_BIND_SERVICE};
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[2]{};
    for (const int capability : kKept) {
      sets[0].effective |= 1U << capability;
      sets[0].permitted |= 1U << capability;
      sets[0].inheritable |= 1U << capability;
    }
    if (syscall(SYS_capset, &header, sets) != 0) return fault("dropping capabilities");
    const rlimit none{0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
      return fault("no_new_privs");
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
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) (void)std::signal(number, SIG_DFL);
    // In this order: the bounding set and the groups need capabilities that end with the user.
    bool good = true;
    for (int capability = 0; capability <= CAP_LAST_CAP; ++capability) {
      if (capability == CAP_NET_BIND_SERVICE) continue;
      if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) good = false;
    }
    good = good && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && setgroups_none() &&
           setresgid(place_.group, place_.group, place_.group) == 0 &&
           setresuid(place_.user, place_.user, place_.user) == 0;
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[2]{};
    sets[0].effective = sets[0].permitted = sets[0].inheritable = 1U << CAP_NET_BIND_SERVICE;
    good = good && syscall(SYS_capset, &header, sets) == 0 &&
           prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) == 0 &&
           prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == launcher;
    (void)umask(077);
    const OwnedFd null(::open("/dev/null", O_RDWR));
    good = good && dup2(null.get(), STDIN_FILENO) == STDIN_FILENO;
    (void)syscall(SYS_close_range, 3U, ~0U, 0U);
    std::string conf = "STRONGSWAN_CONF=" + place_.folder + "/strongswan.conf";
    std::string socket = "HNV_GATEWAY_SA_SOCKET=" + sa_socket_of(place_);
    std::string gateway = fmt::format("HNV_GATEWAY_UID={}", gateway_);
    std::string binary = place_.binary;
    std::array<char*, 2> argv{binary.data(), nullptr};
    std::array<char*, 4> environment{conf.data(), socket.data(), gateway.data(), nullptr};
    if (good) execve(binary.c_str(), argv.data(), environment.data());
    _exit(127);
  }
  static bool setgroups_none() { return syscall(SYS_setgroups, 0, nullptr) == 0; }

  // What is in it is charon's, and so is the right to remove that.
  void remove_folder() const {
    setfsuid(place_.user);
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(place_.folder, ignored)) {
      std::filesystem::remove_all(entry.path(), ignored);
    }
    setfsuid(gateway_);
    (void)rmdir(place_.folder.c_str());
  }

  void end_charon() {
    if (charon_ < 0) return;
    (void)kill(charon_, SIGTERM);
    pollfd child{children_.get(), POLLIN, 0};
    (void)poll(&child, 1, kEndMilliseconds);
    if (waitpid(charon_, nullptr, WNOHANG) == charon_) return;
    (void)kill(charon_, SIGKILL);
    (void)waitpid(charon_, nullptr, 0);
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
  iovec part{bytes.data(), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> room{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  const ssize_t n = recvmsg(launcher.control.get(), &message, MSG_CMSG_CLOEXEC);
  const cmsghdr* head = CMSG_FIRSTHDR(&message);
  if (n != sizeof(LauncherReport) || head == nullptr) {
    return fail(ErrorCode::internal, std::string(bytes.data(), n > 0 ? static_cast<size_t>(n) : 0));
  }
  std::array<int, 2> fds{};
  std::memcpy(fds.data(), CMSG_DATA(head), sizeof fds);
  launcher.tun = OwnedFd(fds[0]);
  launcher.sas = OwnedFd(fds[1]);
  return {};
}

}  // namespace

std::string sa_socket_of(const CharonPlace& place) { return place.folder + "/sa"; }
std::string vici_socket_of(const CharonPlace& place) { return place.folder + "/vici"; }

Result<Launcher> fork_launcher(const CharonPlace& place) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fault("a socket pair");
  }
  Launcher launcher;
  launcher.control = OwnedFd(ends[0]);
  OwnedFd theirs(ends[1]);
  launcher.pid = fork();
  if (launcher.pid < 0) return fault("forking charon's launcher");
  if (launcher.pid == 0) {
    launcher.control = OwnedFd();
    LauncherProcess(place, std::move(theirs)).run();
  }
  theirs = OwnedFd();
  if (auto ready = take_ready(launcher); !ready) {
    (void)kill(launcher.pid, SIGKILL);
    (void)waitpid(launcher.pid, nullptr, 0);
    return tl::make_unexpected(ready.error());
  }
  (void)fcntl(launcher.control.get(), F_SETFL, O_NONBLOCK);
  return launcher;
}

}  // namespace hnv
