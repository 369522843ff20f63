// SPDX-License-Identifier: Apache-2.0
//
// How a port's queues are shared out among the workers: each queue has one worker, each worker one
// way to send. Pure; ports.cc knows how many queues a device has.
#pragma once

#include <cstdint>
#include <vector>

#include "gateway/bootstrap.h"

namespace hnv {

// How many receive and transmit queues are asked for.
struct QueueCounts {
  uint16_t rx = 1;
  uint16_t tx = 1;
};

// What a device allows, as its driver says.
struct QueueFacts {
  uint16_t most_rx = 1;
  uint16_t most_tx = 1;
  bool spreads = false;  // a NIC: it can share out flows over its receive queues (RSS)
};

// At most a queue pair a worker; fewer where more would do harm:
//
//   af_packet, af_xdp, pcap, ring, vhost, virtio_user
//                 all receive queues that the device was made with, since each gets a part
//   null          as many as workers
//   tap, memif    one: the kernel moves flows between queues, the other process may serve fewer
//   by PCI address, or any other
//                 as many as workers if the device can share out flows, else one to receive
[[nodiscard]] QueueCounts queues_wanted(const PortConfig& port, const QueueFacts& facts,
                                        unsigned workers);

// One worker's part of a port.
struct QueueShare {
  std::vector<uint16_t> receives;  // these queues; may be none
  unsigned sender = 0;             // the worker that sends what it has for the port; itself, with
  uint16_t sends = 0;              // this queue, where there are enough
  // There are more workers than receive queues: what is received is spread in software.
  bool spreads = false;
};
// Queue q of port p is worker (p + q) % workers': ports with one queue have different workers.
[[nodiscard]] QueueShare share_of(unsigned port, QueueCounts queues, unsigned worker,
                                  unsigned workers);

}  // namespace hnv
