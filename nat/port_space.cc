// SPDX-License-Identifier: Apache-2.0
#include "nat/port_space.h"

#include <algorithm>
#include <bit>

namespace hnv {
namespace {

// Bits first..last of a row of words, ends included, word by word.
uint64_t bits_in_word(uint32_t word, uint32_t first, uint32_t last) {
  const uint32_t low = word * 64;
  if (last < low || first >= low + 64) return 0;
  const uint32_t from = first > low ? first - low : 0;
  const uint32_t to = std::min(last - low, 63U);
  return (~uint64_t{0} >> (63 - to)) & (~uint64_t{0} << from);
}

// One of the bits that are set; `random` chooses. REQUIRES bits != 0.
unsigned pick_bit(uint64_t bits, uint64_t random) {
  const auto start = static_cast<int>(random & 63);
  return (static_cast<unsigned>(std::countr_zero(std::rotr(bits, start))) +
          static_cast<unsigned>(start)) &
         63U;
}

constexpr uint64_t kEven = 0x5555555555555555;

// How many of the blocks first..last are worker `mine`'s, of n.
uint32_t owned(uint32_t first, uint32_t last, uint32_t mine, uint32_t n) {
  const auto below = [&](uint32_t end) { return end / n + (end % n > mine ? 1U : 0U); };
  return below(last + 1) - below(first);
}

uint64_t share_hash(NatPoolId pool, uint32_t domain) {
  return secret_hash(pool.value(), domain, 9);
}

}  // namespace

PortSpaces::PortSpaces(unsigned worker)
    : worker_(worker),
      blocks_(size_t{kMaxSpaces} * kBlocksPerSpace),
      spaces_(kMaxSpaces),
      pools_(kMaxPools),
      shares_(kMaxShares),
      share_index_(kMaxShares),
      random_(worker) {}

// All blocks of ours are free when a space is first seen.
PortSpaces::Space& PortSpaces::ready(const NatPlan& plan, const PortSpace& space) {
  Space& mine = spaces_[space.id.value()];
  if (mine.stamp == space.stamp) return mine;
  mine = Space{};
  mine.stamp = space.stamp;
  const uint32_t base = base_of(space);
  const uint32_t last = space.range.last / space.block_ports;
  for (uint32_t block = base; block <= last; ++block) {
    if (block % plan.workers != worker_) continue;
    mine.free[(block - base) / 64] |= uint64_t{1} << (block - base) % 64;
    ++mine.free_count;
  }
  return mine;
}

// A pool, weighed anew when the plan has another number of domains or addresses in it.
PortSpaces::Pool& PortSpaces::ready_pool(const NatPlan& plan, NatPoolId id) {
  const NatPool& planned = plan.pools[id.value()];
  Pool& pool = pools_[id.value()];
  if (pool.stamp == planned.stamp && pool.domains == planned.domains) return pool;
  if (pool.stamp == 0) pool.first_share = kNone;
  pool.stamp = planned.stamp;
  pool.domains = planned.domains;
  pool.blocks = static_cast<uint32_t>(planned.members.size()) *
                owned(planned.range.first / planned.block_ports,
                      planned.range.last / planned.block_ports, worker_, plan.workers);
  pool.share = pool.blocks / (2 * std::max(planned.domains, 1U));
  // Those who have nothing yet count, too: they are the ones it is kept for. Not those who have
  // gone; what they have had is among the shares with nothing given.
  uint32_t holders = 0;
  pool.kept = 0;
  for (uint32_t at = pool.first_share; at != kNone; at = shares_[at].next) {
    if (shares_[at].given == 0) continue;
    ++holders;
    pool.kept += pool.share - std::min(pool.share, shares_[at].given);
  }
  pool.kept += (std::max(pool.domains, holders) - holders) * pool.share;
  return pool;
}

PortSpaces::Share* PortSpaces::share_of(Pool& pool, NatPoolId id, CompartmentId domain) {
  const uint64_t hash = share_hash(id, domain.value());
  const auto is_it = [&](uint32_t entry) {
    return shares_[entry].pool == id.value() && shares_[entry].domain == domain.value();
  };
  const uint32_t found = share_index_.find(hash, is_it);
  if (found != FlowIndex::kNone) return &shares_[found];
  if (share_count_ == kMaxShares) return nullptr;
  const uint32_t fresh = share_count_++;
  shares_[fresh] = {
      .pool = id.value(), .domain = domain.value(), .given = 0, .next = pool.first_share};
  pool.first_share = fresh;
  share_index_.insert(hash, fresh);
  return &shares_[fresh];
}

bool PortSpaces::may_take(const NatPlan& plan, NatPoolId id, CompartmentId domain) {
  Pool& pool = ready_pool(plan, id);
  const Share* share = share_of(pool, id, domain);
  if (share == nullptr || pool.given >= pool.blocks) return false;
  return share->given < pool.share || pool.blocks - pool.given > pool.kept;
}

void PortSpaces::count_given(const NatPlan& plan, NatPoolId id, CompartmentId domain) {
  Pool& pool = ready_pool(plan, id);
  Share* share = share_of(pool, id, domain);
  if (share == nullptr) return;
  if (share->given < pool.share && pool.kept > 0) --pool.kept;
  ++share->given;
  change(pool.given, 1);
}

// Ports beyond the space's range are never given.
void PortSpaces::open_block(const PortSpace& space, uint32_t block) {
  Block& fresh = blocks_[block];
  fresh = Block{};
  fresh.next = kNone;
  const uint32_t first = first_port_of(space, block);
  uint64_t outside = space.block_ports == 64 ? 0 : ~uint64_t{0} << space.block_ports;
  for (unsigned i = 0; i < space.block_ports; ++i) {
    const uint32_t port = first + i;
    if (port < space.range.first || port > space.range.last) outside |= uint64_t{1} << i;
  }
  fresh.taken.fill(outside);
}

uint32_t PortSpaces::take_block(const NatPlan& plan, const PortSpace& space, const PortRange& range,
                                CompartmentId domain) {
  Space& mine = ready(plan, space);
  if (mine.free_count == 0 || !may_take(plan, space.pool, domain)) return kNone;
  const uint32_t base = base_of(space);
  const uint32_t first = std::max<uint32_t>(range.first, space.range.first) / space.block_ports;
  const uint32_t last = std::min<uint32_t>(range.last, space.range.last) / space.block_ports;
  if (first > last) return kNone;
  const uint64_t random = random_.next();
  constexpr uint32_t kWords = kBlocksPerSpace / 64;
  for (uint32_t i = 0; i < kWords; ++i) {
    const uint32_t word = (i + static_cast<uint32_t>(random >> 32)) % kWords;
    const uint64_t free = mine.free[word] & bits_in_word(word, first - base, last - base);
    if (free == 0) continue;
    const unsigned bit = pick_bit(free, random);
    mine.free[word] &= ~(uint64_t{1} << bit);
    --mine.free_count;
    count_given(plan, space.pool, domain);
    const uint32_t block = space.id.value() * kBlocksPerSpace + word * 64 + bit;
    open_block(space, block);
    return block;
  }
  return kNone;
}

uint32_t PortSpaces::take_this_block(const NatPlan& plan, const PortSpace& space, uint16_t port,
                                     CompartmentId domain) {
  Space& mine = ready(plan, space);
  if (!space.range.contains(port) || plan.owner_of_port(space, port) != worker_) return kNone;
  const uint32_t index = port / space.block_ports - base_of(space);
  const uint64_t bit = uint64_t{1} << index % 64;
  if ((mine.free[index / 64] & bit) == 0) return kNone;
  mine.free[index / 64] &= ~bit;
  --mine.free_count;
  count_given(plan, space.pool, domain);
  const uint32_t block = space.id.value() * kBlocksPerSpace + index;
  open_block(space, block);
  return block;
}

void PortSpaces::give_back(const NatPlan& plan, const PortSpace& space, uint32_t block,
                           CompartmentId domain) {
  Space& mine = ready(plan, space);
  const uint32_t index = block % kBlocksPerSpace;
  mine.free[index / 64] |= uint64_t{1} << index % 64;
  ++mine.free_count;
  Pool& pool = ready_pool(plan, space.pool);
  Share* share = share_of(pool, space.pool, domain);
  if (share == nullptr || share->given == 0) return;
  --share->given;
  change(pool.given, -1);
  if (share->given < pool.share) ++pool.kept;
}

std::optional<uint16_t> PortSpaces::take_port(const PortSpace& space, uint32_t block,
                                              const PortRange& range, PortSet set, uint16_t like) {
  Block& from = blocks_[block];
  uint64_t& taken = from.taken[static_cast<size_t>(set)];
  const uint32_t first = first_port_of(space, block);
  if (range.first > first + 63 || range.last < first) return std::nullopt;
  uint64_t free = ~taken;
  if (range.first > first) free &= ~uint64_t{0} << (range.first - first);
  if (range.last < first + 63) free &= ~uint64_t{0} >> (63 - (range.last - first));
  if (free == 0) return std::nullopt;
  // Blocks begin at multiples of their size, an even number.
  const uint64_t alike = free & ((like & 1) == 0 ? kEven : ~kEven);
  const unsigned bit = pick_bit(alike != 0 ? alike : free, random_.next());
  taken |= uint64_t{1} << bit;
  ++from.mappings;
  change(pools_[space.pool.value()].ports, 1);
  return static_cast<uint16_t>(first + bit);
}

bool PortSpaces::take_this(const PortSpace& space, uint32_t block, PortSet set, uint16_t port) {
  Block& from = blocks_[block];
  const uint64_t bit = uint64_t{1} << (port - first_port_of(space, block));
  uint64_t& taken = from.taken[static_cast<size_t>(set)];
  if ((taken & bit) != 0) return false;
  taken |= bit;
  ++from.mappings;
  change(pools_[space.pool.value()].ports, 1);
  return true;
}

void PortSpaces::free_port(const PortSpace& space, PortSet set, uint16_t port) {
  Block& from = blocks_[block_of(space, port)];
  from.taken[static_cast<size_t>(set)] &=
      ~(uint64_t{1} << (port - first_port_of(space, block_of(space, port))));
  --from.mappings;
  change(pools_[space.pool.value()].ports, -1);
}

}  // namespace hnv
