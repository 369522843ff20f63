// SPDX-License-Identifier: Apache-2.0
//
// The packets of the benchmarks: 65,536 flows, drawn evenly over the domains and their machines
// with fixed seeds, and the buffers that they are driven through in.
#pragma once

#include <cstdint>
#include <vector>

#include <rte_mbuf.h>

#include "tests/bench/world.h"

namespace hnv {

constexpr unsigned kInFlight = 2048;
constexpr unsigned kFlows = 65536;
constexpr unsigned kHeaderBytes = 128;  // restored before each pass

enum class Path : uint8_t { nvgre_to_nvgre, nvgre_to_l3, l3_to_nvgre };

// Headers; what follows them on the wire, up to `length`, is nobody's concern.
struct Frame {
  uint8_t bytes[kHeaderBytes] = {};
  uint16_t length = 0;
};

// `size` counts like a tenant's Ethernet frame with its check sequence.
[[nodiscard]] std::vector<Frame> make_frames(const World& world, Path path, unsigned size,
                                             unsigned flows = kFlows);

// A flow of UDP through NAT, from machine `record` of a domain.
struct NatFlow {
  unsigned domain = 0;
  unsigned record = 0;
  uint16_t inside_port = 0;
  uint16_t remote_port = 0;
  uint32_t remote = 0;
  uint32_t outside = 0;  // as which it is seen there, once that is known
  uint16_t outside_port = 0;
};
// Its packets, out of the domain and back, checksums right (peers look at them). Over IPv4.
[[nodiscard]] Frame frame_out(const World& world, const NatFlow& flow, unsigned size);
[[nodiscard]] Frame frame_back(const NatFlow& flow, unsigned size);

// Where packet buffers come from; EAL must be up. With room for eight bytes of the benchmark's own
// in each (rte_mbuf_to_priv).
[[nodiscard]] rte_mempool& packet_pool();

inline void restore(rte_mbuf* mbuf, const Frame& frame) {
  mbuf->data_off = RTE_PKTMBUF_HEADROOM;
  mbuf->data_len = frame.length;
  mbuf->pkt_len = frame.length;
  __builtin_memcpy(rte_pktmbuf_mtod(mbuf, void*), frame.bytes, kHeaderBytes);
}

// kInFlight buffers that take the frames in turn, or from whoever fills them.
class Packets {
 public:
  explicit Packets(const std::vector<Frame>& frames);
  Packets();
  ~Packets();
  Packets(const Packets&) = delete;
  Packets& operator=(const Packets&) = delete;

  void restore();  // REQUIRES frames
  [[nodiscard]] rte_mbuf* operator[](size_t i) const { return mbufs_[i]; }
  // Another buffer takes the place of one that has been given away.
  void put(size_t i, rte_mbuf* mbuf) { mbufs_[i] = mbuf; }

 private:
  void allocate();

  const std::vector<Frame>* frames_ = nullptr;
  std::vector<rte_mbuf*> mbufs_;
  size_t next_ = 0;
};

// DPDK without devices, on these processors, in hugepages when the runner says that there are some.
void start_eal(const char* program, const char* lcores, unsigned megabytes);

}  // namespace hnv
