// SPDX-License-Identifier: Apache-2.0
//
// Real rte_mbufs without EAL. The pool registers a mempool handler of its own whose "put" comes
// back here, so that rte_pktmbuf_free works, every free is counted, a leak is a number and a double
// free is caught. With `huge` the buffers lie in transparent huge pages, for benchmarks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <rte_mbuf.h>

namespace hnv {

using Bytes = std::vector<uint8_t>;

class FakeMbufs {
 public:
  static constexpr uint16_t kHeadroom = 128;  // DPDK's own default
  static constexpr uint16_t kRoom = 2048;     // behind the headroom

  // never: a buffer is handed out once, and any thread may free it.
  enum class Reuse : uint8_t { always, never };

  explicit FakeMbufs(unsigned count = 4096, Reuse reuse = Reuse::always);
  FakeMbufs(const FakeMbufs&) = delete;
  FakeMbufs& operator=(const FakeMbufs&) = delete;
  FakeMbufs(FakeMbufs&&) = delete;
  FakeMbufs& operator=(FakeMbufs&&) = delete;
  ~FakeMbufs();

  // Dies when the pool is empty: a leak has been missed.
  [[nodiscard]] rte_mbuf* take();
  [[nodiscard]] rte_mbuf* take(std::span<const uint8_t> frame);
  // Where whoever allocates by himself gets them from.
  [[nodiscard]] rte_mempool& pool() { return *pool_; }
  [[nodiscard]] size_t in_use() const { return handed_out_ - freed(); }
  [[nodiscard]] size_t freed() const { return freed_.load(std::memory_order_relaxed); }

  // The handler's: all or none.
  int get(void** objects, unsigned count);
  void put_back(void* const* mbufs, unsigned count);

 private:
  struct Handler;
  void reset(rte_mbuf& mbuf);

  size_t count_;
  Reuse reuse_;
  size_t bytes_;
  uint8_t* arena_;
  std::unique_ptr<rte_mempool> pool_;
  std::vector<rte_mbuf*> free_;
  // By place in the arena. Relaxed, like freed_: what is tested must not be helped to its order.
  std::vector<std::atomic<uint8_t>> taken_;
  size_t handed_out_ = 0;
  std::atomic<size_t> freed_ = 0;
};

[[nodiscard]] inline std::span<const uint8_t> bytes_of(const rte_mbuf& mbuf) {
  return {rte_pktmbuf_mtod(&mbuf, const uint8_t*), mbuf.data_len};
}

}  // namespace hnv
