// SPDX-License-Identifier: Apache-2.0
#include "api/replay_cache.h"

#include <array>

#include <openssl/sha.h>

namespace hnv {
namespace {

// Length-prefixed, so that no two requests spell the same bytes.
std::string fingerprint(const HttpRequest& request) {
  std::string head;
  for (const auto* part :
       {&request.method, &request.path, &request.if_match, &request.if_none_match}) {
    head += std::to_string(part->size()) + ":" + *part;
  }
  head += request.body;
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(head.data()), head.size(), digest.data());
  return {digest.begin(), digest.end()};
}

}  // namespace

HttpAnswer ReplayCache::answer(const HttpRequest& request, Clock::time_point now,
                               const std::function<HttpAnswer()>& work) {
  const std::string& id = request.client_request_id;
  const std::string print = fingerprint(request);
  uint64_t serial = 0;
  {
    std::unique_lock lock(mutex_);
    evict(now);
    while (true) {
      const auto found = entries_.find(id);
      if (found == entries_.end()) break;
      if (found->second.fingerprint != print) {
        return error_answer(409, "this x-ms-client-request-id was used for another request");
      }
      if (found->second.answer) return *found->second.answer;
      finished_.wait(lock);
    }
    serial = next_serial_++;
    entries_[id] = {print, std::nullopt, serial};
  }
  try {
    HttpAnswer answer = work();
    finish(id, serial, answer.status < 500 ? &answer : nullptr, now);
    return answer;
  } catch (...) {
    finish(id, serial, nullptr, now);
    throw;
  }
}

void ReplayCache::finish(const std::string& id, uint64_t serial, const HttpAnswer* answer,
                         Clock::time_point now) {
  const std::scoped_lock lock(mutex_);
  if (answer == nullptr) {
    entries_.erase(id);
  } else {
    entries_[id].answer = *answer;
    const size_t bytes = id.size() + answer->body.size();
    order_.push_back({id, serial, now, bytes});
    bytes_ += bytes;
    evict(now);
  }
  finished_.notify_all();
}

void ReplayCache::evict(Clock::time_point now) {
  while (!order_.empty() && (now - order_.front().since >= kKept || order_.size() > kMaxEntries ||
                             bytes_ > kMaxBytes)) {
    const Kept& oldest = order_.front();
    const auto found = entries_.find(oldest.id);
    if (found != entries_.end() && found->second.serial == oldest.serial) entries_.erase(found);
    bytes_ -= oldest.bytes;
    order_.pop_front();
  }
}

size_t ReplayCache::size() const {
  const std::scoped_lock lock(mutex_);
  return entries_.size();
}

}  // namespace hnv
