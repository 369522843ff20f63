// SPDX-License-Identifier: Apache-2.0
#include "bgp/bgpd_launcher.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <linux/capability.h>
#include <map>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string_view>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bgp/bgpd_config.h"
#include "bgp/listeners.h"
#include "bgp/vty_client.h"
#include "compartments/daemon_launcher.h"
#include "compartments/fd_message.h"
#include "compartments/route_socket.h"

namespace hnv {
namespace {

constexpr const char* kNamespaces = "/run/netns";  // where bgpd looks for them
constexpr int kStartMilliseconds = 5'000;
constexpr int kEndMilliseconds = 3'000;

using Kind = BgpdReport::Kind;
using Ask = BgpdRequest::Kind;

tl::unexpected<Error> fault(std::string_view what) {
  return fail(ErrorCode::internal, fmt::format("{}: {}", what, std::strerror(errno)));
}

OwnedFd namespace_now() { return OwnedFd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)); }
bool enter(const OwnedFd& space) { return setns(space.get(), CLONE_NEWNET) == 0; }
std::string path_of(uint32_t domain) {
  return fmt::format("{}/{}", kNamespaces, bgpd_name(domain));
}

Result<OwnedFd> listen_for_bgpd(const BgpdPlace& place) {
  const std::string path = zserv_socket_of(place);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::invalid_value, fmt::format("the path {} is too long", path));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  (void)unlink(path.c_str());
  OwnedFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      chown(path.c_str(), place.user, place.group) != 0 || chmod(path.c_str(), 0600) != 0 ||
      listen(fd.get(), 8) != 0) {
    return fault("the socket " + path);
  }
  return fd;
}

class LauncherProcess {
 public:
  LauncherProcess(BgpdPlace place, OwnedFd control)
      : place_(std::move(place)), control_(std::move(control)) {}

  // Never returns: the process ends with it.
  [[noreturn]] void run() {
    if (const auto made = prepare(); !made) {
      // Read by fork_bgpd_launcher only when there was no report.
      (void)!write(control_.get(), made.error().message.data(), made.error().message.size());
      _exit(1);
    }
    serve();
    end_daemon(bgpd_, children_, kEndMilliseconds);
    remove_folder(place_.folder, place_.user);
    _exit(0);
  }

 private:
  struct Domain {
    OwnedFd space;
    OwnedFd tun;  // stays also when the gateway closes its own
    RouteSocket routes;
    unsigned interface = 0;
  };

  Result<void> prepare() {
    if (auto made = make_folder(); !made) return made;
    auto zserv = listen_for_bgpd(place_);
    if (!zserv) return tl::make_unexpected(zserv.error());
    if (auto made = leave_the_host(); !made) return made;
    children_ = watch_children();
    // Namespaces and what is in them, bgpd's user and its two capabilities, and ending it.
    if (!keep_capabilities({CAP_NET_ADMIN, CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_KILL,
                            CAP_NET_BIND_SERVICE, CAP_SYS_ADMIN})) {
      return fault("dropping capabilities");
    }
    report({Kind::ready, {}, 0, 0, 0}, {zserv->get()});
    return {};
  }

  // While this is still the host's root.
  [[nodiscard]] Result<void> make_folder() const {
    std::error_code error;
    std::filesystem::create_directories(place_.folder, error);
    std::filesystem::create_directories(kNamespaces, error);
    if (error || chmod(place_.folder.c_str(), 0700) != 0 ||
        chown(place_.folder.c_str(), place_.user, place_.group) != 0) {
      return fault("the folder " + place_.folder);
    }
    const rlimit descriptors{place_.descriptors, place_.descriptors};
    const rlimit none{0, 0};
    if (setrlimit(RLIMIT_NOFILE, &descriptors) != 0 || setrlimit(RLIMIT_CORE, &none) != 0 ||
        syscall(SYS_setgroups, 0, nullptr) != 0) {
      return fault("limits for bgpd");
    }
    return {};
  }

  // Into a user namespace, and in it a network without interfaces and a folder of namespaces that
  // holds none but ours.
  Result<void> leave_the_host() {
    if (unshare(CLONE_NEWUSER) != 0) return fault("a user namespace for bgpd");
    report({Kind::started, {}, 0, 0, 0});
    BgpdRequest mapped;
    if (recv(control_.get(), &mapped, sizeof mapped, 0) != sizeof mapped) {
      return fault("the users of bgpd's namespace");
    }
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) return fault("a network namespace for bgpd");
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", kNamespaces, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755") != 0) {
      return fault(fmt::format("a folder of our own at {}", kNamespaces));
    }
    limbo_ = namespace_now();
    auto routes = RouteSocket::open();
    if (!routes) return tl::make_unexpected(routes.error());
    return routes->set_up(if_nametoindex("lo"));
  }

  void report(const BgpdReport& report, std::initializer_list<int> fds = {}) const {
    (void)send_with_fds(control_.get(), &report, sizeof report, fds);
  }
  void report_failure(const BgpdRequest& request, int why) const {
    report({Kind::failed, request.kind, request.domain, why, 0});
  }

  void serve() {
    for (;;) {
      std::array<pollfd, 2> fds{pollfd{control_.get(), POLLIN, 0},
                                pollfd{children_.get(), POLLIN, 0}};
      (void)poll(fds.data(), fds.size(), -1);
      if (fds[1].revents != 0) reap();
      if (fds[0].revents == 0) continue;
      BgpdRequest request;
      const ssize_t n = recv(control_.get(), &request, sizeof request, 0);
      if (n != sizeof request) return;  // the gateway is gone
      obey(request);
    }
  }

  void reap() {
    signalfd_siginfo ignored{};
    (void)!read(children_.get(), &ignored, sizeof ignored);
    int status = 0;
    if (bgpd_ < 0 || waitpid(bgpd_, &status, WNOHANG) != bgpd_) return;
    bgpd_ = -1;
    report({Kind::ended, {}, 0, status, 0});
  }

  void obey(const BgpdRequest& request) {
    switch (request.kind) {
      case Ask::start:
        return start(request);
      case Ask::stop:
      case Ask::kill:
        if (bgpd_ > 0) (void)kill(bgpd_, request.kind == Ask::kill ? SIGKILL : SIGTERM);
        return;
      case Ask::connect:
        return connect_twice(request);
      case Ask::add_domain:
        if (!add_domain(request)) report_failure(request, errno);
        return;
      case Ask::remove_domain:
        domains_.erase(request.domain);
        (void)umount2(path_of(request.domain).c_str(), MNT_DETACH);
        (void)unlink(path_of(request.domain).c_str());
        return;
      case Ask::add_address:
      case Ask::remove_address:
        return change_address(request);
      case Ask::look:
        return look(request);
      case Ask::connect_reader:
        return connect_reader(request);
    }
  }

  bool add_domain(const BgpdRequest& request) {
    const std::string path = path_of(request.domain);
    if (domains_.contains(request.domain)) {
      errno = EEXIST;
      return false;
    }
    const OwnedFd file(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0444));
    if (!file || unshare(CLONE_NEWNET) != 0) return false;
    const bool made = mount("/proc/self/ns/net", path.c_str(), nullptr, MS_BIND, nullptr) == 0 &&
                      furnish(request);
    const int why = errno;
    (void)enter(limbo_);
    if (!made) {
      (void)umount2(path.c_str(), MNT_DETACH);
      (void)unlink(path.c_str());
    }
    errno = why;
    return made;
  }
  // In the domain's namespace: the TUN, and everything through it.
  bool furnish(const BgpdRequest& request) {
    OwnedFd tun = make_tun(kBgpTun, request.value);
    if (!tun) return false;
    auto routes = RouteSocket::open();
    if (!routes) return false;
    const unsigned interface = if_nametoindex(kBgpTun);
    // Sessions only: no router solicitations, no addresses by themselves, nothing is forwarded.
    write_file("/proc/sys/net/ipv4/ip_forward", "0");
    write_file("/proc/sys/net/ipv6/conf/all/forwarding", "0");
    write_file("/proc/sys/net/ipv6/conf/all/accept_ra", "0");
    write_file(fmt::format("/proc/sys/net/ipv6/conf/{}/addr_gen_mode", kBgpTun), "1");
    if (!routes->set_up(if_nametoindex("lo")) || !routes->set_up(interface) ||
        !routes->add_default_route(interface, Family::ipv4)) {
      return false;
    }
    // A kernel without IPv6 has peers of IPv4.
    (void)routes->add_default_route(interface, Family::ipv6);
    report({Kind::domain_added, request.kind, request.domain, static_cast<int32_t>(interface), 0},
           {tun.get()});
    domains_.emplace(request.domain,
                     Domain{namespace_now(), std::move(tun), std::move(*routes), interface});
    return true;
  }

  void change_address(const BgpdRequest& request) {
    const auto at = domains_.find(request.domain);
    if (at == domains_.end()) return report_failure(request, ENODEV);
    std::array<uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), request.address, sizeof request.address);
    IpAddress<Space::customer> address = Ip6<Space::customer>(bytes);
    if (request.value == 4) {
      address = Ip4<Space::customer>(uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 |
                                     uint32_t{bytes[2]} << 8 | uint32_t{bytes[3]});
    }
    Domain& domain = at->second;
    const auto done = request.kind == Ask::add_address
                          ? domain.routes.add_address(domain.interface, address)
                          : domain.routes.remove_address(domain.interface, address);
    if (!done) report_failure(request, errno);
  }

  void look(const BgpdRequest& request) {
    const auto at = domains_.find(request.domain);
    if (at == domains_.end() || !enter(at->second.space)) return report_failure(request, ENODEV);
    const auto here = count_listeners(kBgpPort);
    (void)enter(limbo_);
    const auto limbo = count_listeners(kBgpPort);
    if (!here || !limbo) return report_failure(request, errno);
    report({Kind::listeners, request.kind, request.domain, static_cast<int32_t>(*here), *limbo});
  }

  // As bgpd's user: the folder is closed to everybody else.
  void connect_twice(const BgpdRequest& request) {
    setfsuid(place_.user);
    const auto commands = connect_vty(vty_socket_of(place_));
    const auto reads = connect_vty(vty_socket_of(place_));
    const int why = errno;
    setfsuid(0);
    if (!commands || !reads) return report_failure(request, why);
    report({Kind::connected, request.kind, 0, 0, 0}, {commands->get(), reads->get()});
  }

  void connect_reader(const BgpdRequest& request) {
    setfsuid(place_.user);
    const auto reader = connect_vty(vty_socket_of(place_));
    const int why = errno;
    setfsuid(0);
    if (!reader) return report_failure(request, why);
    report({Kind::reader, request.kind, 0, 0, 0}, {reader->get()});
  }

  void start(const BgpdRequest& request) {
    if (bgpd_ > 0) return;
    // One of a bgpd that was killed would answer nobody.
    setfsuid(place_.user);
    (void)unlink(vty_socket_of(place_).c_str());
    setfsuid(0);
    const pid_t launcher = getpid();
    const pid_t pid = fork();
    if (pid == 0) become_bgpd(launcher);
    if (pid < 0) return report_failure(request, errno);
    bgpd_ = pid;
    report({Kind::started, request.kind, 0, pid, 0});
  }

  [[noreturn]] void become_bgpd(pid_t launcher) const {
    bool good = become(place_.user, place_.group, {CAP_NET_BIND_SERVICE, CAP_SYS_ADMIN}, launcher);
    // It can write its log to standard output, but not to standard error, where ours is.
    good = good && dup2(STDERR_FILENO, STDOUT_FILENO) == STDOUT_FILENO;
    close_the_rest();
    if (good) execute();
    _exit(127);
  }
  void execute() const {
    // No TCP port for its terminal; it keeps the user that it has; it is told everything by us.
    std::vector<std::string> words{place_.binary,
                                   "-z",
                                   zserv_socket_of(place_),
                                   "--vty_socket",
                                   place_.folder,
                                   "-i",
                                   place_.folder + "/bgpd.pid",
                                   "-f",
                                   "/dev/null",
                                   "-P",
                                   "0",
                                   "-S",
                                   "--log",
                                   place_.log.empty() ? "stdout" : "file:" + place_.log};
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::array<char*, 1> environment{nullptr};
    execve(place_.binary.c_str(), argv.data(), environment.data());
  }

  const BgpdPlace place_;
  OwnedFd control_;
  OwnedFd children_;
  OwnedFd limbo_;
  std::map<uint32_t, Domain> domains_;
  pid_t bgpd_ = -1;
};

// The users of the launcher's namespace: root, which is the launcher, and bgpd's.
Result<void> map_users(const BgpdPlace& place, pid_t launcher) {
  const auto write = [&](const char* what, uint32_t id) {
    std::ofstream file(fmt::format("/proc/{}/{}", launcher, what));
    file << fmt::format("0 0 1\n{0} {0} 1\n", id);
    file.close();
    return !file.fail();
  };
  if (write("uid_map", place.user) && write("gid_map", place.group)) return {};
  return fault("the users of bgpd's namespace");
}

Result<FdMessage> next_message(const BgpdLauncher& launcher, BgpdReport::Kind kind) {
  pollfd ready{launcher.control.get(), POLLIN, 0};
  if (poll(&ready, 1, kStartMilliseconds) != 1) {
    return fail(ErrorCode::internal, "bgpd's launcher does not come up");
  }
  std::array<char, 512> bytes{};
  FdMessage message = receive_with_fds(launcher.control.get(), bytes.data(), bytes.size());
  BgpdReport report;
  std::memcpy(&report, bytes.data(), sizeof report);
  if (message.size != sizeof report || report.kind != kind) {
    return fail(ErrorCode::internal, std::string(bytes.data(), message.size));
  }
  return message;
}

Result<void> take_ready(const BgpdPlace& place, BgpdLauncher& launcher) {
  if (auto unshared = next_message(launcher, Kind::started); !unshared) {
    return tl::make_unexpected(unshared.error());
  }
  if (auto mapped = map_users(place, launcher.pid); !mapped) return mapped;
  const BgpdRequest go;
  if (send(launcher.control.get(), &go, sizeof go, MSG_NOSIGNAL) < 0) return fault("the launcher");
  auto ready = next_message(launcher, Kind::ready);
  if (!ready) return tl::make_unexpected(ready.error());
  launcher.zserv = std::move(ready->fds[0]);
  return {};
}

}  // namespace

std::string zserv_socket_of(const BgpdPlace& place) { return place.folder + "/zserv"; }
std::string vty_socket_of(const BgpdPlace& place) { return place.folder + "/bgpd.vty"; }

Result<BgpdLauncher> fork_bgpd_launcher(const BgpdPlace& place) {
  auto forked = fork_daemon_launcher(
      [&](OwnedFd control) { LauncherProcess(place, std::move(control)).run(); });
  if (!forked) return tl::make_unexpected(forked.error());
  BgpdLauncher launcher;
  launcher.control = std::move(forked->control);
  launcher.pid = forked->pid;
  if (auto ready = take_ready(place, launcher); !ready) {
    end_launcher(launcher.pid);
    return tl::make_unexpected(ready.error());
  }
  (void)fcntl(launcher.control.get(), F_SETFL, O_NONBLOCK);
  return launcher;
}

}  // namespace hnv
