// SPDX-License-Identifier: Apache-2.0
//
// When a packet may leave the gateway: what its tunnel's rate says at the door, carried in its
// buffer through all stations, and through another worker, to the port. It lies where a NIC writes
// the hash of a packet that it receives; nobody here reads that.
#pragma once

#include <cstdint>
#include <cstring>

#include <rte_mbuf.h>

namespace hnv {

struct Departure {
  uint32_t tick;   // of Shaper
  uint32_t meter;  // whose packets keep their order; 0: it may leave at once
};
static_assert(sizeof(Departure) == sizeof(rte_mbuf::hash));

[[nodiscard]] inline Departure departure_of(const rte_mbuf& mbuf) {
  Departure out{};
  std::memcpy(&out, &mbuf.hash, sizeof out);
  return out;
}
inline void set_departure(rte_mbuf& mbuf, Departure departure) {
  std::memcpy(&mbuf.hash, &departure, sizeof departure);
}

}  // namespace hnv
