// SPDX-License-Identifier: Apache-2.0
#include "vpn/charon_process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/wait.h>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "compartments/fd_message.h"

namespace hnv {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kFirstPause = milliseconds(100);
constexpr Duration kLongestPause = seconds(30);
constexpr Duration kGoodRun = seconds(60);  // after one like that the pauses begin anew
constexpr Duration kConnectEvery = milliseconds(50);

std::string ending(int status) {
  if (WIFSIGNALED(status)) return fmt::format("by signal {}", WTERMSIG(status));
  return fmt::format("with status {}", WEXITSTATUS(status));
}

}  // namespace

CharonProcess::CharonProcess(OwnedFd control, pid_t launcher, Events events)
    : control_(std::move(control)), launcher_(launcher), events_(std::move(events)) {}

CharonProcess::~CharonProcess() {
  control_ = OwnedFd();  // the launcher sees that, ends charon and then itself
  if (launcher_ > 0) (void)waitpid(launcher_, nullptr, 0);
}

void CharonProcess::ask(const LauncherRequest& request) {
  if (send(control_.get(), &request, sizeof request, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    spdlog::error("charon's launcher does not listen: {}", std::strerror(errno));
  }
}

void CharonProcess::start() { wanted_ = true; }

void CharonProcess::stop() {
  wanted_ = false;
  ask({LauncherRequest::Kind::stop, 0, {}});
}

void CharonProcess::kill() { ask({LauncherRequest::Kind::kill, 0, {}}); }

void CharonProcess::reconnect() {
  if (pid_ > 0) connecting_ = true;
}

void CharonProcess::set_addresses(std::vector<IpAddress<Space::external>> addresses) {
  std::sort(addresses.begin(), addresses.end());
  const auto tell = [this](const auto& from, const auto& without, LauncherRequest::Kind kind) {
    for (const auto& address : from) {
      if (std::binary_search(without.begin(), without.end(), address)) continue;
      LauncherRequest request{kind, address.is_v4() ? 4U : 6U, {}};
      std::memcpy(request.address, address.bytes().data(), sizeof request.address);
      ask(request);
    }
  };
  tell(addresses, addresses_, LauncherRequest::Kind::add_address);
  tell(addresses_, addresses, LauncherRequest::Kind::remove_address);
  addresses_ = std::move(addresses);
}

void CharonProcess::add_to(std::vector<pollfd>& fds) const {
  fds.push_back({control_.get(), POLLIN, 0});
}

void CharonProcess::step(Instant now) {
  for (;;) {
    LauncherReport report;
    FdMessage message = receive_with_fds(control_.get(), &report, sizeof report);
    if (message.size != sizeof report) break;
    take(report, std::move(message.fds), now);
  }
  if (wanted_ && !asked_ && pid_ < 0 && now >= next_start_) {
    asked_ = true;
    ask({LauncherRequest::Kind::start, 0, {}});
  }
  if (connecting_ && now >= next_connect_) {
    next_connect_ = now + kConnectEvery;
    ask({LauncherRequest::Kind::connect, 0, {}});
  }
}

void CharonProcess::take(const LauncherReport& report, std::array<OwnedFd, 2> fds, Instant now) {
  switch (report.kind) {
    case LauncherReport::Kind::ready:
      return;
    case LauncherReport::Kind::started:
      spdlog::info("charon runs as process {}", report.value);
      asked_ = false;
      pid_ = report.value;
      started_at_ = now;
      connecting_ = true;
      next_connect_ = now;
      return;
    case LauncherReport::Kind::ended: {
      if (now - started_at_ >= kGoodRun) pause_ = Duration::zero();
      pause_ = std::clamp(pause_ * 2, kFirstPause, kLongestPause);
      next_start_ = now + pause_;
      pid_ = -1;
      connecting_ = false;
      if (wanted_) {
        ++restarts_;
        spdlog::error("charon ended {}; it is started again in {:.1f} s", ending(report.value),
                      in_seconds(pause_));
      } else {
        spdlog::info("charon ended {}", ending(report.value));
      }
      if (events_.ended) events_.ended(report.value);
      return;
    }
    case LauncherReport::Kind::connected:
      if (!connecting_) return;  // of a charon that has ended since
      connecting_ = false;
      if (events_.connected) events_.connected(std::move(fds[0]), std::move(fds[1]));
      return;
    case LauncherReport::Kind::failed:
      if (report.request == LauncherRequest::Kind::connect) return;  // not there yet
      if (report.request == LauncherRequest::Kind::start) {
        asked_ = false;
        next_start_ = now + kLongestPause;
      }
      spdlog::error("charon's launcher cannot do what it was asked ({}): {}",
                    static_cast<uint32_t>(report.request), std::strerror(report.value));
      return;
  }
}

}  // namespace hnv
