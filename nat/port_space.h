// SPDX-License-Identifier: Apache-2.0
//
// The ports of public addresses that one worker owns, in blocks. A host gets whole blocks (RFC 6888
// REQ-14: one log record a block, not one a session) and the ports of its mappings out of them.
// TCP, UDP and ICMP identifiers are three sets of ports over the same blocks.
//
// Fair shares: half of a pool's blocks is kept for the domains that use it, the same number for
// each; the other half goes to who comes first. So no domain can take what another has a right to,
// and few domains can use nearly all.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "nat/flow_index.h"
#include "nat/nat_plan.h"
#include "nat/reserved_array.h"
#include "nat/session.h"

namespace hnv {

enum class PortSet : uint8_t { tcp, udp, icmp };
[[nodiscard]] constexpr PortSet port_set_of(uint8_t protocol) {
  if (protocol == wire::ip_protocol::kTcp) return PortSet::tcp;
  return protocol == wire::ip_protocol::kUdp ? PortSet::udp : PortSet::icmp;
}

// Random numbers that nobody outside can foresee (RFC 6056): a counter under the process's secret.
class SecretNumbers {
 public:
  explicit SecretNumbers(uint64_t stream) : stream_(stream) {}
  [[nodiscard]] uint64_t next() { return secret_hash(++count_, stream_, 8); }

 private:
  uint64_t stream_;
  uint64_t count_ = 0;
};

// Threads: the worker's.
class PortSpaces {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kMaxSpaces = 16384;
  static constexpr uint32_t kMaxPools = 16384;
  static constexpr uint32_t kMaxShares = 1U << 20;
  static constexpr uint32_t kBlocksPerSpace = 1024;

  explicit PortSpaces(unsigned worker);

  struct Block {
    std::array<uint64_t, 3> taken{};  // by PortSet: in use, resting, or not to be given
    uint32_t next = 0;                // the host's next block; kNone
    uint32_t host = 0;
    NatTick since = 0;
    uint16_t mappings = 0;  // that have a port of it, resting ones too
    uint16_t unused = 0;
  };

  // A free block of the space within `range`, for a domain; which one is random. kNone: there is
  // none, or what there is is kept for other domains.
  [[nodiscard]] uint32_t take_block(const NatPlan& plan, const PortSpace& space,
                                    const PortRange& range, CompartmentId domain);
  // REQUIRES that nothing has a port of it.
  void give_back(const NatPlan& plan, const PortSpace& space, uint32_t block, CompartmentId domain);
  [[nodiscard]] uint32_t free_blocks(const NatPlan& plan, const PortSpace& space) {
    return ready(plan, space).free_count;
  }
  // A port of the block for one of the protocols: random, of the parity of `like` (RFC 4787 REQ-4),
  // or else of the other. nullopt: none is free there. It is taken then.
  [[nodiscard]] std::optional<uint16_t> take_port(const PortSpace& space, uint32_t block,
                                                  const PortRange& range, PortSet set,
                                                  uint16_t like);
  // This very port, if it is free; for sessions that are restored.
  [[nodiscard]] bool take_this(const PortSpace& space, uint32_t block, PortSet set, uint16_t port);
  [[nodiscard]] uint32_t take_this_block(const NatPlan& plan, const PortSpace& space, uint16_t port,
                                         CompartmentId domain);
  void free_port(const PortSpace& space, PortSet set, uint16_t port);
  // A port that take_port has just given is not to be used: it stays taken as long as the block is
  // given. True, always.
  bool withhold(const PortSpace& space, uint32_t block) {
    --blocks_[block].mappings;
    change(pools_[space.pool.value()].ports, -1);
    return true;
  }

  [[nodiscard]] Block& block(uint32_t number) { return blocks_[number]; }
  [[nodiscard]] const Block& block(uint32_t number) const { return blocks_[number]; }
  [[nodiscard]] static uint32_t base_of(const PortSpace& space) {
    return space.range.first / space.block_ports;
  }
  [[nodiscard]] static uint32_t block_of(const PortSpace& space, uint16_t port) {
    return space.id.value() * kBlocksPerSpace + port / space.block_ports - base_of(space);
  }
  [[nodiscard]] static uint32_t first_port_of(const PortSpace& space, uint32_t block) {
    return (block % kBlocksPerSpace + base_of(space)) * space.block_ports;
  }

  // What this worker has given of a pool. From any thread: of the moment.
  [[nodiscard]] uint32_t blocks_in_use(NatPoolId pool) const {
    return __atomic_load_n(&pools_[pool.value()].given, __ATOMIC_RELAXED);
  }
  [[nodiscard]] uint32_t ports_in_use(NatPoolId pool) const {
    return __atomic_load_n(&pools_[pool.value()].ports, __ATOMIC_RELAXED);
  }

 private:
  struct Space {
    std::array<uint64_t, kBlocksPerSpace / 64> free{};
    uint32_t free_count = 0;
    uint32_t stamp = 0;
  };
  struct Share {  // of a domain in a pool
    uint32_t pool = 0, domain = 0;
    uint32_t given = 0;
    uint32_t next = 0;  // of the pool; kNone
  };
  struct Pool {
    uint32_t stamp = 0;
    uint32_t blocks = 0;  // this worker's
    uint32_t given = 0;   // read by others, like ports
    uint32_t ports = 0;   // resting ones too
    uint32_t domains = 0;
    uint32_t share = 0;  // kept for each of them
    uint32_t kept = 0;   // of that, what is not given yet
    uint32_t first_share = 0;
  };
  Space& ready(const NatPlan& plan, const PortSpace& space);
  Pool& ready_pool(const NatPlan& plan, NatPoolId id);
  [[nodiscard]] Share* share_of(Pool& pool, NatPoolId id, CompartmentId domain);
  [[nodiscard]] bool may_take(const NatPlan& plan, NatPoolId id, CompartmentId domain);
  // One writer: the load needs no care, the store must be whole.
  static void change(uint32_t& count, int32_t by) {
    __atomic_store_n(&count, count + static_cast<uint32_t>(by), __ATOMIC_RELAXED);
  }
  void open_block(const PortSpace& space, uint32_t block);
  void count_given(const NatPlan& plan, NatPoolId id, CompartmentId domain);

  unsigned worker_;
  ReservedArray<Block> blocks_;
  ReservedArray<Space> spaces_;
  ReservedArray<Pool> pools_;
  ReservedArray<Share> shares_;
  FlowIndex share_index_;
  uint32_t share_count_ = 0;
  SecretNumbers random_;
};

}  // namespace hnv
