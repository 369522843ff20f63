// SPDX-License-Identifier: Apache-2.0
#include "gateway/port_queues.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace hnv {
namespace {

enum class Kind : uint8_t { as_made, as_workers, single, by_spreading };

Kind kind_of(std::string_view device) {
  constexpr std::array<std::pair<std::string_view, Kind>, 10> kKinds{
      {{"net_af_packet", Kind::as_made},
       {"net_af_xdp", Kind::as_made},
       {"net_pcap", Kind::as_made},
       {"net_ring", Kind::as_made},
       {"net_vhost", Kind::as_made},
       {"eth_vhost", Kind::as_made},
       {"net_virtio_user", Kind::as_made},
       {"net_null", Kind::as_workers},
       {"net_tap", Kind::single},
       {"net_memif", Kind::single}}};
  for (const auto& [prefix, kind] : kKinds) {
    if (device.starts_with(prefix)) return kind;
  }
  return Kind::by_spreading;
}

}  // namespace

QueueCounts queues_wanted(const PortConfig& port, const QueueFacts& facts, unsigned workers) {
  const auto most_rx = std::max<uint16_t>(facts.most_rx, 1);
  const auto most_tx = std::max<uint16_t>(facts.most_tx, 1);
  const auto per_worker = [workers](uint16_t most) {
    return static_cast<uint16_t>(std::min<unsigned>(most, workers));
  };
  switch (kind_of(port.device)) {
    case Kind::as_made:
      return {.rx = most_rx, .tx = per_worker(most_tx)};
    case Kind::as_workers:
      return {.rx = per_worker(most_rx), .tx = per_worker(most_tx)};
    case Kind::by_spreading:
      return {.rx = facts.spreads ? per_worker(most_rx) : uint16_t{1}, .tx = per_worker(most_tx)};
    case Kind::single:
      break;
  }
  return {};
}

QueueShare share_of(unsigned port, QueueCounts queues, unsigned worker, unsigned workers) {
  QueueShare share;
  share.spreads = queues.rx < workers;
  // The first queue that would be this worker's.
  const unsigned first = (worker + workers - port % workers) % workers;
  for (unsigned q = first; q < queues.rx; q += workers) {
    share.receives.push_back(static_cast<uint16_t>(q));
  }
  share.sends = static_cast<uint16_t>(first % queues.tx);
  share.sender = (port + share.sends) % workers;
  return share;
}

}  // namespace hnv
