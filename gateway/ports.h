// SPDX-License-Identifier: Apache-2.0
//
// The ports of the bootstrap file: opened once, in order, as DPDK devices of any kind. What a
// device cannot do is done in software or reported (`limitations`), never fatal without need.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/state.h"
#include "compartments/wire.h"
#include "gateway/bootstrap.h"
#include "gateway/port_queues.h"

struct rte_eth_dev_info;
struct rte_mempool;

namespace hnv {

// Keeps a second gateway off the kernel interface (or PCI device) of a port: two processes on one
// af_packet interface both start and both receive. An abstract Unix socket named after it.
class PortLock {
 public:
  explicit PortLock(const PortConfig& port);  // throws when another process holds it
  ~PortLock();
  PortLock(PortLock&& other) noexcept;
  PortLock& operator=(PortLock&&) = delete;
  PortLock(const PortLock&) = delete;
  PortLock& operator=(const PortLock&) = delete;

 private:
  int fd_ = -1;
};

class Port {
 public:
  // Opens, configures with queues for `workers` workers (gateway/port_queues.h), starts,
  // promiscuous. Throws std::runtime_error "port NAME: what was wrong".
  Port(const PortConfig& config, rte_mempool& packets, unsigned workers);
  ~Port();
  Port(Port&& other) noexcept;
  Port& operator=(Port&&) = delete;
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  [[nodiscard]] const PortConfig& config() const { return config_; }
  [[nodiscard]] uint16_t dpdk_id() const { return id_; }
  [[nodiscard]] const wire::Mac& mac() const { return mac_; }
  [[nodiscard]] QueueCounts queues() const { return queues_; }
  [[nodiscard]] PortState state() const;

 private:
  void configure(rte_mempool& packets);
  void configure_queues(const rte_eth_dev_info& info);
  void set_up_queues(rte_mempool& packets);
  void set_mtu();
  void note_checksums(uint64_t rx_capabilities);

  PortConfig config_;
  PortLock lock_;
  unsigned workers_;
  uint16_t id_ = 0xffff;
  QueueCounts queues_;
  wire::Mac mac_{};
  std::vector<std::string> limitations_;
};

}  // namespace hnv
