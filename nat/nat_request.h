// SPDX-License-Identifier: Apache-2.0
//
// Questions and orders of operators about a worker's sessions. Whoever asks fills one in and waits
// until the worker, a little in every breath, has gone through its table.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "nat/nat_table.h"

namespace hnv {

struct NatSessionPicture {
  NatSession session{};
  bool is_static = false;
  NatTick now = 0;
};

struct NatRequest {
  enum class What : uint8_t { list, end };
  struct Filter {
    CompartmentId compartment{};
    std::optional<uint8_t> protocol;
    AddressMask inside, outside, remote;
    std::optional<be16> inside_port, outside_port, remote_port;

    [[nodiscard]] bool matches(const NatSession& s) const {
      const auto is = [](const std::optional<be16>& wanted, be16 port) {
        return !wanted || wanted->raw() == port.raw();
      };
      return s.compartment == compartment.value() && (!protocol || *protocol == s.protocol) &&
             inside.contains(s.inside) && outside.contains(s.outside) &&
             remote.contains(s.remote) && is(inside_port, s.inside_port) &&
             is(outside_port, s.outside_port) && is(remote_port, s.remote_port);
    }
  };
  What what = What::list;
  Filter filter;
  uint32_t place = 0;                    // where to begin; where to go on, when it is done
  bool more = false;                     // there are places behind `place`
  std::vector<NatSessionPicture> found;  // as large as may be answered; `count` of them are
  size_t count = 0;                      // end: how many have ended
  std::atomic<bool> done{false};
};

}  // namespace hnv
