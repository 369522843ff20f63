// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "gateway/bootstrap.h"

struct rte_mempool;

namespace hnv {

// DPDK's id of a worker's thread, which runs on the processor that the bootstrap file names. The
// control thread's is 0.
[[nodiscard]] constexpr unsigned eal_lcore_of(unsigned worker) { return worker + 1; }

// DPDK's environment: memory, lcores and the packet buffers. One per process; the constructor
// throws std::runtime_error with what to change when it cannot start.
class Eal {
 public:
  explicit Eal(const Bootstrap& bootstrap);
  ~Eal();
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;
  Eal(Eal&&) = delete;
  Eal& operator=(Eal&&) = delete;

  [[nodiscard]] rte_mempool& packets() const { return *packets_; }
  [[nodiscard]] bool hugepages() const { return hugepages_; }
  [[nodiscard]] uint64_t memory_bytes() const { return memory_bytes_; }

 private:
  bool hugepages_ = false;
  uint64_t memory_bytes_ = 0;
  rte_mempool* packets_ = nullptr;
};

}  // namespace hnv
