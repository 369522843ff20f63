// SPDX-License-Identifier: Apache-2.0
//
// NAT's records as text: who had which public address and ports from when to when (RFC 6888 REQ-14,
// RFC 6302), one JSON object a line. A block of ports is a record when it is given and one when it
// comes back; a session only where its domain asks for it (logSessions). Whoever must ask "who was
// 198.51.100.7:20113 at noon?" finds the block that holds the port.
//
// Lines are written by a thread of the log's own: nobody waits for a disk or for syslog. When that
// falls behind, the oldest lines are lost, and that is said.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include <spdlog/async.h>
#include <spdlog/spdlog.h>

#include "compartments/clock.h"
#include "gateway/bootstrap.h"
#include "nat/nat_record.h"

namespace hnv {

// The names behind a record's numbers.
struct NatNames {
  std::string domain;
  std::string pool;
};

// "TCP", "UDP", "ICMP", else the IP protocol's number.
[[nodiscard]] std::string protocol_text(uint8_t protocol);
// The record as a line. `at` and `started` are times of day.
[[nodiscard]] std::string to_line(const NatRecord& record, const NatNames& names,
                                  std::chrono::system_clock::time_point at,
                                  std::chrono::system_clock::time_point started);

// Control thread.
class NatLog {
 public:
  // Throws std::runtime_error when the file cannot be opened.
  explicit NatLog(const NatConfig& config);
  ~NatLog();
  NatLog(const NatLog&) = delete;
  NatLog& operator=(const NatLog&) = delete;
  NatLog(NatLog&&) = delete;
  NatLog& operator=(NatLog&&) = delete;

  // `now` is the same moment as the record's clock has it.
  void write(const NatRecord& record, const NatNames& names, Instant now);
  // Lines that were lost because nobody wrote them fast enough.
  [[nodiscard]] size_t lost() const;

 private:
  void refused(const NatRecord& record, const NatNames& names);

  std::shared_ptr<spdlog::details::thread_pool> writer_;
  std::shared_ptr<spdlog::logger> logger_;  // null: the gateway's own
  // One event a domain, reason and minute.
  std::map<std::pair<std::string, DropReason>, Instant> told_;
};

}  // namespace hnv
