// SPDX-License-Identifier: Apache-2.0
//
// Who may ask bgpd something long, one after the other: bgpd does one thing at a time, and what it
// lists it does not do for its peers. Behind each question it is left alone for as long as that
// took (a second at most), so that whoever asks on and on gets half of it.
//
// Threads: the control thread; a BgpReader is for any that may wait.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "bgp/bgp_control.h"
#include "compartments/clock.h"
#include "compartments/owned_fd.h"
#include "compartments/result.h"

namespace hnv {

struct BgpReader {
  OwnedFd fd;                        // for a VtyReader
  std::string vrf;                   // the domain's name in bgpd
  std::shared_ptr<const void> turn;  // let go of it last: it is another's turn then
};

class BgpReaders {
 public:
  using Done = std::function<void(Result<BgpReader>)>;
  static constexpr size_t kMostWaiting = 64;  // of one bgpd

  // `done` is called in a step to come, or at once when too many wait. `control` outlives this.
  void add(BgpControl& control, std::string vrf, Done done);
  void step(Instant now);

 private:
  struct Question {
    std::string vrf;
    Done done;
  };
  struct Line {
    std::deque<Question> waiting{};
    std::weak_ptr<const void> turn{};
    std::optional<Instant> begun{};  // of the question that has the turn
    Instant next{};
  };
  std::map<BgpControl*, Line> lines_;
};

}  // namespace hnv
