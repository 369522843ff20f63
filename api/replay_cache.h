// SPDX-License-Identifier: Apache-2.0
//
// Repeated requests (x-ms-client-request-id). A client that lost an answer sends the request again
// under the same id and gets the first answer again, instead of doing the work twice. Kept in
// memory for ten minutes, at most 10,000 ids and a bounded number of bytes; the oldest goes first.
// A repeat that arrives while the first is still at work waits for it. Any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "api/http.h"

namespace hnv {

class ReplayCache {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::minutes kKept{10};
  static constexpr size_t kMaxEntries = 10'000;
  static constexpr size_t kMaxBytes = 64 << 20;

  // The kept answer for this id; otherwise what `work` answers, which is then kept. The same id
  // with another method, path or body: 409. Answers of 500 and above are not kept: the client may
  // retry.
  HttpAnswer answer(const HttpRequest& request, Clock::time_point now,
                    const std::function<HttpAnswer()>& work);

  [[nodiscard]] size_t size() const;

 private:
  struct Entry {
    std::string fingerprint;           // of method, path, preconditions and body
    std::optional<HttpAnswer> answer;  // absent: at work
    uint64_t serial = 0;
  };
  struct Kept {
    std::string id;
    uint64_t serial = 0;
    Clock::time_point since;
    size_t bytes = 0;
  };

  void evict(Clock::time_point now);
  void finish(const std::string& id, uint64_t serial, const HttpAnswer* answer,
              Clock::time_point now);

  mutable std::mutex mutex_;  // http threads only; never held while `work` runs
  std::condition_variable finished_;
  std::unordered_map<std::string, Entry> entries_;
  std::deque<Kept> order_;  // of the finished ones, oldest first
  uint64_t next_serial_ = 1;
  size_t bytes_ = 0;
};

}  // namespace hnv
