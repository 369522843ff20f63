// SPDX-License-Identifier: Apache-2.0
//
// One writer, many readers, no locks: a pointer to an immutable value that workers read once per
// breath, and old values that are freed after every worker has gone through a quiescent state
// (DPDK's rte_rcu_qsbr). Nothing ever waits: publish swaps the pointer, sweep frees what is free.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <new>
#include <utility>

#include <rte_rcu_qsbr.h>

namespace hnv {

// The right to read: held by a worker's loop while it is registered and online.
class WorkerToken {
 private:
  friend class WorkerRcu;
  WorkerToken() = default;
};
// The right to publish: only the control loop (and a test in its place) makes one.
class ControlToken {
 private:
  friend class ControlLoop;
  friend class TestControl;
  ControlToken() = default;
};

// The quiescent-state variable for `workers` readers, numbered from 0.
class Rcu {
 public:
  explicit Rcu(uint32_t workers) {
    const size_t bytes = rte_rcu_qsbr_get_memsize(workers);
    const size_t rounded =
        (bytes + RTE_CACHE_LINE_SIZE - 1) / RTE_CACHE_LINE_SIZE * RTE_CACHE_LINE_SIZE;
    memory_.reset(static_cast<rte_rcu_qsbr*>(std::aligned_alloc(RTE_CACHE_LINE_SIZE, rounded)));
    if (memory_ == nullptr || rte_rcu_qsbr_init(memory_.get(), workers) != 0)
      throw std::bad_alloc();
  }
  [[nodiscard]] rte_rcu_qsbr* get() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(rte_rcu_qsbr* p) const { std::free(p); }
  };
  std::unique_ptr<rte_rcu_qsbr, Free> memory_;
};

// A worker's side of it. Lives in the worker's loop, on the worker's thread.
class WorkerRcu {
 public:
  WorkerRcu(Rcu& rcu, uint32_t worker) : rcu_(rcu.get()), worker_(worker) {
    rte_rcu_qsbr_thread_register(rcu_, worker_);
    online();
  }
  ~WorkerRcu() {
    offline();
    rte_rcu_qsbr_thread_unregister(rcu_, worker_);
  }
  WorkerRcu(const WorkerRcu&) = delete;
  WorkerRcu& operator=(const WorkerRcu&) = delete;
  WorkerRcu(WorkerRcu&&) = delete;
  WorkerRcu& operator=(WorkerRcu&&) = delete;

  // Nothing read before is used after this.
  void quiescent() { rte_rcu_qsbr_quiescent(rcu_, worker_); }
  // Around a sleep: the writer need not wait for this worker.
  void offline() { rte_rcu_qsbr_thread_offline(rcu_, worker_); }
  void online() { rte_rcu_qsbr_thread_online(rcu_, worker_); }
  [[nodiscard]] const WorkerToken& token() const { return token_; }

 private:
  rte_rcu_qsbr* rcu_;
  uint32_t worker_;
  WorkerToken token_;
};

template <class T>
class Published {
 public:
  Published(Rcu& rcu, std::shared_ptr<const T> first)
      : rcu_(rcu.get()), owner_(std::move(first)), current_(owner_.get()) {}

  // Valid until the calling worker's next quiescent state.
  [[nodiscard]] const T& read(const WorkerToken&) const noexcept {
    return *current_.load(std::memory_order_acquire);
  }
  // The control side's own look at what is current.
  [[nodiscard]] const std::shared_ptr<const T>& latest(const ControlToken&) const { return owner_; }

  void publish(std::shared_ptr<const T> next, const ControlToken&) {
    current_.store(next.get(), std::memory_order_release);
    const uint64_t grace = rte_rcu_qsbr_start(rcu_);
    waiting_.push_back({grace, std::exchange(owner_, std::move(next))});
  }
  // Frees what every worker has left behind; never waits.
  void sweep(const ControlToken&) {
    while (!waiting_.empty() && rte_rcu_qsbr_check(rcu_, waiting_.front().grace, false) != 0) {
      waiting_.pop_front();
    }
  }
  [[nodiscard]] size_t waiting() const { return waiting_.size(); }

 private:
  struct Old {
    uint64_t grace;
    std::shared_ptr<const T> value;
  };
  rte_rcu_qsbr* rcu_;
  std::shared_ptr<const T> owner_;
  std::atomic<const T*> current_;
  std::deque<Old> waiting_;
};

}  // namespace hnv
