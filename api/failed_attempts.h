// SPDX-License-Identifier: Apache-2.0
//
// Slows down whoever guesses bearer tokens. Each client may be wrong kAttempts times at once, and
// once more every kPerAttempt. Beyond that its tokens are not even looked at until it has waited,
// so that it learns nothing; neither are right ones from the same address (a scripted client with
// an old token must not hide behind one with the right token, and a guesser could not be told from
// it).
//
// A client is an IPv4 address, or an IPv6 /64 (RFC 6177: what one site has at least). At most
// kClients are remembered; the least guilty is forgotten first.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace hnv {

// Used by all threads of the http pool, hence the mutex.
class FailedAttempts {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr int kAttempts = 10;
  static constexpr std::chrono::seconds kPerAttempt{6};
  static constexpr size_t kClients = 1024;

  // How long the client has to wait before a token of its is looked at; zero: not at all. At least
  // one second otherwise.
  [[nodiscard]] std::chrono::seconds wait_of(std::string_view address, Clock::time_point now) const;
  void failed(std::string_view address, Clock::time_point now);

 private:
  [[nodiscard]] static std::string client_of(std::string_view address);
  void make_room(Clock::time_point now);

  mutable std::mutex mutex_;
  // When all of a client's failures are paid off.
  std::map<std::string, Clock::time_point> paid_off_;
};

}  // namespace hnv
