// SPDX-License-Identifier: Apache-2.0
//
// charon under supervision: started, watched, started again with growing pauses, and connected to.
// What it needs privileges for, the launcher does (charon_launcher.h).
//
// Threads: one, the control thread, which polls the descriptors and calls step().
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <poll.h>
#include <vector>

#include "compartments/address.h"
#include "compartments/clock.h"
#include "compartments/owned_fd.h"
#include "vpn/charon_launcher.h"

namespace hnv {

class CharonProcess {
 public:
  struct Events {
    // charon answers on its control socket: two connections to it.
    std::function<void(OwnedFd commands, OwnedFd events)> connected;
    // It ended, for whatever reason; it will be started again unless stop() was called.
    std::function<void(int wait_status)> ended;
  };

  // Takes the launcher's control socket and the launcher (-1: it is nobody's child).
  CharonProcess(OwnedFd control, pid_t launcher, Events events);
  // Ends the launcher, which ends charon, and waits for it: some seconds when charon does not
  // listen.
  ~CharonProcess();
  CharonProcess(const CharonProcess&) = delete;
  CharonProcess& operator=(const CharonProcess&) = delete;
  CharonProcess(CharonProcess&&) = delete;
  CharonProcess& operator=(CharonProcess&&) = delete;

  // From here on charon shall run.
  void start();
  // From here on it shall not: it says farewell to its peers and ends.
  void stop();
  // Ends the process at once, as a crash would: it is started again. For a charon that hangs.
  void kill();
  // The VPN addresses of the TUN; only differences go to the launcher.
  void set_addresses(std::vector<IpAddress<Space::external>> addresses);
  // Connect once more, after a connection was lost while charon lives.
  void reconnect();

  void add_to(std::vector<pollfd>& fds) const;
  void step(Instant now);

  [[nodiscard]] pid_t pid() const { return pid_; }  // -1: it does not run
  [[nodiscard]] unsigned restarts() const { return restarts_; }

 private:
  void ask(const LauncherRequest& request);
  void take(const LauncherReport& report, std::array<OwnedFd, 2> fds, Instant now);

  OwnedFd control_;
  pid_t launcher_;
  Events events_;
  std::vector<IpAddress<Space::external>> addresses_;
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
