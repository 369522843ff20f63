// SPDX-License-Identifier: Apache-2.0
#include "bgp/bgpd_process.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/wait.h>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace hnv {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Ask = BgpdRequest::Kind;
using Said = BgpdReport::Kind;

constexpr Duration kFirstPause = milliseconds(100);
constexpr Duration kLongestPause = seconds(30);
constexpr Duration kGoodRun = seconds(60);  // after one like that the pauses begin anew
constexpr Duration kConnectEvery = milliseconds(50);
constexpr int kReportsAtOnce = 256;

std::string ending(int status) {
  if (WIFSIGNALED(status)) return fmt::format("by signal {}", WTERMSIG(status));
  return fmt::format("with status {}", WEXITSTATUS(status));
}

}  // namespace

BgpdProcess::BgpdProcess(OwnedFd control, pid_t launcher, Events events)
    : control_(std::move(control)), launcher_(launcher), events_(std::move(events)) {}

BgpdProcess::~BgpdProcess() {
  control_ = OwnedFd();  // the launcher sees that, ends bgpd and then itself
  if (launcher_ > 0) (void)waitpid(launcher_, nullptr, 0);
}

void BgpdProcess::start() { wanted_ = true; }

void BgpdProcess::stop() {
  wanted_ = false;
  ask({Ask::stop});
}

void BgpdProcess::kill() {
  if (pid_ > 0) ask({Ask::kill});
}

void BgpdProcess::add_domain(uint32_t domain, uint16_t mtu) { ask({Ask::add_domain, domain, mtu}); }

void BgpdProcess::remove_domain(uint32_t domain) {
  addresses_.erase(domain);
  ask({Ask::remove_domain, domain});
}

void BgpdProcess::look(uint32_t domain) { ask({Ask::look, domain}); }

void BgpdProcess::connect_reader() { ask({Ask::connect_reader}); }

void BgpdProcess::set_addresses(uint32_t domain,
                                std::vector<IpAddress<Space::customer>> addresses) {
  std::sort(addresses.begin(), addresses.end());
  auto& before = addresses_[domain];
  const auto tell = [&](const auto& from, const auto& without, Ask kind) {
    for (const auto& address : from) {
      if (std::binary_search(without.begin(), without.end(), address)) continue;
      BgpdRequest request{kind, domain, address.is_v4() ? 4U : 6U};
      std::memcpy(request.address, address.bytes().data(), sizeof request.address);
      ask(request);
    }
  };
  tell(addresses, before, Ask::add_address);
  tell(before, addresses, Ask::remove_address);
  before = std::move(addresses);
}

void BgpdProcess::add_to(std::vector<pollfd>& fds) const {
  fds.push_back(
      {control_.get(), static_cast<short>(requests_.empty() ? POLLIN : POLLIN | POLLOUT), 0});
}

void BgpdProcess::flush() {
  while (!requests_.empty()) {
    const BgpdRequest& first = requests_.front();
    if (send(control_.get(), &first, sizeof first, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      spdlog::error("bgpd's launcher does not listen: {}", std::strerror(errno));
    }
    requests_.pop_front();
  }
}

void BgpdProcess::step(Instant now) {
  for (int i = 0; i < kReportsAtOnce; ++i) {
    BgpdReport report;
    FdMessage message = receive_with_fds(control_.get(), &report, sizeof report);
    if (message.size != sizeof report) break;
    take(report, message, now);
  }
  if (wanted_ && !asked_ && pid_ < 0 && now >= next_start_) {
    asked_ = true;
    ask({Ask::start});
  }
  if (connecting_ && now >= next_connect_) {
    next_connect_ = now + kConnectEvery;
    ask({Ask::connect});
  }
  flush();
}

void BgpdProcess::take(const BgpdReport& report, FdMessage& message, Instant now) {
  switch (report.kind) {
    case Said::ready:
      return;
    case Said::started:
      spdlog::info("bgpd runs as process {}", report.value);
      asked_ = false;
      pid_ = report.value;
      started_at_ = now;
      connecting_ = true;
      next_connect_ = now;
      return;
    case Said::ended:
      return take_end(report.value, now);
    case Said::connected:
      if (!connecting_) return;  // to a bgpd that has ended since
      connecting_ = false;
      if (events_.connected) {
        events_.connected(std::move(message.fds[0]), std::move(message.fds[1]));
      }
      return;
    case Said::domain_added:
      if (events_.domain_added) {
        events_.domain_added(report.domain, std::move(message.fds[0]),
                             static_cast<unsigned>(report.value));
      }
      return;
    case Said::listeners:
      if (events_.listeners) {
        events_.listeners(report.domain, static_cast<unsigned>(report.value), report.other);
      }
      return;
    case Said::reader:
      if (events_.reader) events_.reader(std::move(message.fds[0]));
      return;
    case Said::failed:
      return take_failure(report, now);
  }
}

void BgpdProcess::take_end(int status, Instant now) {
  if (now - started_at_ >= kGoodRun) pause_ = Duration::zero();
  pause_ = std::clamp(pause_ * 2, kFirstPause, kLongestPause);
  next_start_ = now + pause_;
  pid_ = -1;
  connecting_ = false;
  if (wanted_) {
    ++restarts_;
    spdlog::error("bgpd ended {}; it is started again in {:.1f} s", ending(status),
                  in_seconds(pause_));
  } else {
    spdlog::info("bgpd ended {}", ending(status));
  }
  if (events_.ended) events_.ended(status);
}

void BgpdProcess::take_failure(const BgpdReport& report, Instant now) {
  if (report.request == Ask::connect) return;  // not there yet
  if (report.request == Ask::connect_reader) {
    if (events_.reader) events_.reader(OwnedFd());
    return;
  }
  if (report.request == Ask::start) {
    asked_ = false;
    next_start_ = now + kLongestPause;
  }
  spdlog::error("bgpd's launcher cannot do what it was asked ({}, domain {}): {}",
                static_cast<uint32_t>(report.request), report.domain, std::strerror(report.value));
  if (report.request == Ask::add_domain && events_.domain_failed) {
    events_.domain_failed(report.domain, report.value);
  }
}

}  // namespace hnv
