// SPDX-License-Identifier: Apache-2.0
//
// bgpd under supervision: started, watched, started again with growing pauses, and connected to;
// and the namespaces of routing domains. What needs privileges, the launcher does
// (bgpd_launcher.h).
//
// Threads: one, the control thread, which polls the descriptors and calls step().
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <poll.h>
#include <sys/types.h>
#include <vector>

#include "bgp/bgpd_launcher.h"
#include "compartments/address.h"
#include "compartments/clock.h"
#include "compartments/fd_message.h"

namespace hnv {

class BgpdProcess {
 public:
  struct Events {
    // bgpd answers on its vty socket: two connections to it.
    std::function<void(OwnedFd commands, OwnedFd reads)> connected;
    // It ended, for whatever reason; it will be started again unless stop() was called.
    std::function<void(int wait_status)> ended;
    // A domain's namespace is there, with this TUN (non-blocking; IP packets, IFF_NO_PI).
    std::function<void(uint32_t domain, OwnedFd tun, unsigned interface)> domain_added;
    // A domain's namespace could not be made.
    std::function<void(uint32_t domain, int why)> domain_failed;
    // How many sockets listen on BGP's port: in the domain's namespace, and in bgpd's own.
    std::function<void(uint32_t domain, unsigned here, unsigned limbo)> listeners;
    // One more connection, as connect_reader() asked; none: bgpd does not answer.
    std::function<void(OwnedFd reader)> reader;
  };

  // Takes the launcher's control socket and the launcher (-1: it is nobody's child).
  BgpdProcess(OwnedFd control, pid_t launcher, Events events);
  // Ends the launcher, which ends bgpd, and waits for it: some seconds when bgpd does not listen.
  ~BgpdProcess();
  BgpdProcess(const BgpdProcess&) = delete;
  BgpdProcess& operator=(const BgpdProcess&) = delete;
  BgpdProcess(BgpdProcess&&) = delete;
  BgpdProcess& operator=(BgpdProcess&&) = delete;

  // From here on bgpd shall run.
  void start();
  // From here on it shall not: it says farewell to its peers and ends.
  void stop();
  // Ends the process at once, as a crash would: it is started again. Peers with graceful restart
  // keep our routes, and it theirs.
  void kill();

  void add_domain(uint32_t domain, uint16_t mtu);
  void remove_domain(uint32_t domain);
  // The addresses of the domain's TUN, as /32 and /128; only differences go to the launcher.
  void set_addresses(uint32_t domain, std::vector<IpAddress<Space::customer>> addresses);
  void look(uint32_t domain);
  void connect_reader();

  void add_to(std::vector<pollfd>& fds) const;
  void step(Instant now);

  [[nodiscard]] pid_t pid() const { return pid_; }  // -1: it does not run
  // Neither runs nor was asked to.
  [[nodiscard]] bool ended() const { return pid_ < 0 && !asked_; }
  [[nodiscard]] unsigned restarts() const { return restarts_; }

 private:
  void ask(const BgpdRequest& request) { requests_.push_back(request); }
  void flush();
  void take(const BgpdReport& report, FdMessage& message, Instant now);
  void take_end(int status, Instant now);
  void take_failure(const BgpdReport& report, Instant now);

  OwnedFd control_;
  pid_t launcher_;
  Events events_;
  std::deque<BgpdRequest> requests_;  // that the socket had no room for yet
  std::map<uint32_t, std::vector<IpAddress<Space::customer>>> addresses_;
  bool wanted_ = false;
  bool asked_ = false;  // to start; it has not said yet
  pid_t pid_ = -1;
  bool connecting_ = false;  // no connection yet
  unsigned restarts_ = 0;
  Duration pause_{};  // before the next start
  Instant started_at_;
  Instant next_start_;
  Instant next_connect_;
};

}  // namespace hnv
