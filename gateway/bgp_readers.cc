// SPDX-License-Identifier: Apache-2.0
#include "gateway/bgp_readers.h"

#include <algorithm>
#include <utility>

namespace hnv {
namespace {

constexpr Duration kLongestPause = std::chrono::seconds(1);

}  // namespace

void BgpReaders::add(BgpControl& control, std::string vrf, Done done) {
  Line& line = lines_[&control];
  if (line.waiting.size() >= kMostWaiting) {
    return done(
        fail(ErrorCode::unavailable, "too many ask for BGP's routes at once: try again later"));
  }
  line.waiting.push_back({std::move(vrf), std::move(done)});
}

void BgpReaders::step(Instant now) {
  for (auto& [control, line] : lines_) {
    if (line.begun && line.turn.expired()) {
      line.next = now + std::min<Duration>(now - *std::exchange(line.begun, {}), kLongestPause);
    }
    if (line.begun || line.waiting.empty() || now < line.next) continue;
    Question question = std::move(line.waiting.front());
    line.waiting.pop_front();
    auto turn = std::make_shared<const char>();
    line.turn = turn;
    line.begun = now;
    control->open_reader(
        [question = std::move(question),
         turn = std::shared_ptr<const void>(std::move(turn))](Result<OwnedFd> fd) mutable {
          if (fd) {
            question.done(BgpReader{std::move(*fd), std::move(question.vrf), std::move(turn)});
          } else {
            question.done(tl::make_unexpected(fd.error()));
          }
        });
  }
}

}  // namespace hnv
