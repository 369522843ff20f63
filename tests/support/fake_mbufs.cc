// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_mbufs.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

#include <rte_mempool.h>

namespace hnv {
namespace {

constexpr size_t kBlock = sizeof(rte_mbuf) + FakeMbufs::kHeadroom + FakeMbufs::kRoom;
constexpr size_t kHugePage = size_t{2} << 20;

[[noreturn]] void die(const char* why) {
  std::fprintf(stderr, "FakeMbufs: %s\n", why);
  std::abort();
}

int handler_alloc(rte_mempool*) { return 0; }
void handler_free(rte_mempool*) {}
int handler_put(rte_mempool* pool, void* const* objects, unsigned count) {
  static_cast<FakeMbufs*>(pool->pool_config)->put_back(objects, count);
  return 0;
}
int handler_get(rte_mempool* pool, void** objects, unsigned count) {
  return static_cast<FakeMbufs*>(pool->pool_config)->get(objects, count);
}
unsigned handler_count(const rte_mempool*) { return 0; }

// DPDK keeps a copy in its table of handlers; no EAL is needed for that.
int handler_index() {
  static const int kIndex = [] {
    rte_mempool_ops ops{};
    std::snprintf(ops.name, sizeof ops.name, "hnv_fake_mbufs");
    ops.alloc = handler_alloc;
    ops.free = handler_free;
    ops.enqueue = handler_put;
    ops.dequeue = handler_get;
    ops.get_count = handler_count;
    return rte_mempool_register_ops(&ops);
  }();
  return kIndex;
}

}  // namespace

FakeMbufs::FakeMbufs(unsigned count, Reuse reuse)
    : count_(count),
      reuse_(reuse),
      bytes_((count * kBlock + kHugePage - 1) / kHugePage * kHugePage),
      arena_(static_cast<uint8_t*>(std::aligned_alloc(kHugePage, bytes_))),
      pool_(std::make_unique<rte_mempool>()),
      taken_(count) {
  if (arena_ == nullptr) die("no memory");
  (void)madvise(arena_, bytes_, MADV_HUGEPAGE);
  std::memset(arena_, 0xee, bytes_);
  std::memset(static_cast<void*>(pool_.get()), 0, sizeof *pool_);
  pool_->pool_config = this;
  pool_->ops_index = handler_index();
  pool_->size = count;
  for (size_t i = count; i-- > 0;)
    free_.push_back(reinterpret_cast<rte_mbuf*>(arena_ + i * kBlock));
}

FakeMbufs::~FakeMbufs() { std::free(arena_); }

void FakeMbufs::reset(rte_mbuf& mbuf) {
  std::memset(static_cast<void*>(&mbuf), 0, sizeof mbuf);
  // A NIC, or whoever had it before, leaves something there.
  mbuf.hash.fdir.lo = mbuf.hash.fdir.hi = 0x5eed;
  mbuf.buf_addr = &mbuf + 1;
  mbuf.buf_len = kHeadroom + kRoom;
  mbuf.data_off = kHeadroom;
  mbuf.pool = pool_.get();
  mbuf.nb_segs = 1;
  rte_mbuf_refcnt_set(&mbuf, 1);
}

int FakeMbufs::get(void** objects, unsigned count) {
  if (free_.size() < count) return -ENOBUFS;
  for (unsigned i = 0; i < count; ++i) objects[i] = take();
  return 0;
}

rte_mbuf* FakeMbufs::take() {
  if (free_.empty()) die("empty: somebody keeps packets");
  rte_mbuf* mbuf = free_.back();
  free_.pop_back();
  ++handed_out_;
  taken_[static_cast<size_t>(reinterpret_cast<uint8_t*>(mbuf) - arena_) / kBlock].store(
      1, std::memory_order_relaxed);
  reset(*mbuf);
  return mbuf;
}

rte_mbuf* FakeMbufs::take(std::span<const uint8_t> frame) {
  rte_mbuf* mbuf = take();
  if (frame.size() > kRoom) die("the frame is larger than a buffer");
  if (!frame.empty()) std::memcpy(rte_pktmbuf_mtod(mbuf, uint8_t*), frame.data(), frame.size());
  mbuf->data_len = static_cast<uint16_t>(frame.size());
  mbuf->pkt_len = mbuf->data_len;
  return mbuf;
}

void FakeMbufs::put_back(void* const* mbufs, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    auto* mbuf = static_cast<rte_mbuf*>(mbufs[i]);
    const size_t place = static_cast<size_t>(reinterpret_cast<uint8_t*>(mbuf) - arena_) / kBlock;
    if (place >= count_ || taken_[place].exchange(0, std::memory_order_relaxed) == 0) {
      die("freed twice, or not ours");
    }
    freed_.fetch_add(1, std::memory_order_relaxed);
    if (reuse_ == Reuse::always) free_.push_back(mbuf);
  }
}

}  // namespace hnv
