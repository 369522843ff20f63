// SPDX-License-Identifier: Apache-2.0
//
// Questions to bgpd over a vty connection of their own, for a thread that may wait: answers are
// read as they come, so that a long one needs no memory here. Who has enough of an answer lets go
// of the connection, and bgpd forgets the rest.
//
// Threads: one, not the control thread. Every function waits, until `until` at most.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "bgp/vty_client.h"
#include "compartments/owned_fd.h"
#include "compartments/result.h"

namespace hnv {

class VtyReader {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kWindow = 32;  // questions under way
  static constexpr size_t kLongestAnswer = size_t{16}
                                           << 20;  // bytes of one that is held as a whole

  // A connection to which nothing was said yet.
  VtyReader(OwnedFd fd, Clock::time_point until) : fd_(std::move(fd)), until_(until) {}

  // The text goes to `take` piece by piece, while it says true. The answer's code; 0 when `take`
  // had enough, and then nothing more can be asked. unavailable: bgpd is gone, or too slow.
  [[nodiscard]] Result<uint8_t> read(const std::string& command,
                                     const std::function<bool(std::string_view)>& take);
  // Answers in the order of the commands.
  [[nodiscard]] Result<void> ask(std::span<const std::string> commands,
                                 const std::function<void(size_t, VtyAnswer)>& take);

 private:
  [[nodiscard]] Result<void> say(const std::string& command);
  // What came, one byte at least.
  [[nodiscard]] Result<std::string_view> receive();
  [[nodiscard]] Result<void> wait(short events);

  OwnedFd fd_;
  Clock::time_point until_;
  std::array<char, 65'536> buffer_{};
};

}  // namespace hnv
