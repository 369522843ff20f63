// SPDX-License-Identifier: Apache-2.0
#include "api/failed_attempts.h"

#include <algorithm>

#include "compartments/address.h"

namespace hnv {
namespace {

constexpr std::string_view kMappedV4 = "::ffff:";  // RFC 4291 §2.5.5.2, as a dual-stack socket says
constexpr uint8_t kSite = 64;

}  // namespace

std::string FailedAttempts::client_of(std::string_view address) {
  address = address.substr(0, address.find('%'));
  const auto parsed = IpAddress<Space::external>::parse(address);
  if (!parsed || parsed->is_v4() || address.starts_with(kMappedV4)) return std::string(address);
  return Prefix<Space::external>(*parsed, kSite).to_string();
}

std::chrono::seconds FailedAttempts::wait_of(std::string_view address,
                                             Clock::time_point now) const {
  const std::scoped_lock lock(mutex_);
  const auto at = paid_off_.find(client_of(address));
  if (at == paid_off_.end()) return {};
  const auto too_much = at->second - now - (kAttempts - 1) * kPerAttempt;
  if (too_much <= Clock::duration::zero()) return {};
  return std::chrono::ceil<std::chrono::seconds>(too_much);
}

void FailedAttempts::failed(std::string_view address, Clock::time_point now) {
  const std::scoped_lock lock(mutex_);
  const std::string client = client_of(address);
  if (!paid_off_.contains(client) && paid_off_.size() >= kClients) make_room(now);
  Clock::time_point& paid_off = paid_off_[client];
  paid_off = std::max(paid_off, now) + kPerAttempt;
}

void FailedAttempts::make_room(Clock::time_point now) {
  std::erase_if(paid_off_, [&](const auto& client) { return client.second <= now; });
  if (paid_off_.size() < kClients) return;
  paid_off_.erase(
      std::min_element(paid_off_.begin(), paid_off_.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; }));
}

}  // namespace hnv
