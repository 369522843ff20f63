// SPDX-License-Identifier: Apache-2.0
#include "api/connection_pool.h"

#include <utility>

namespace hnv {
namespace {

thread_local bool t_refusing = false;

}  // namespace

ConnectionPool::ConnectionPool(size_t threads, size_t most_waiting) : most_waiting_(most_waiting) {
  threads_.reserve(threads);
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

bool ConnectionPool::refusing() { return t_refusing; }

void ConnectionPool::enqueue(std::function<void()> serve) {
  {
    const std::scoped_lock lock(mutex_);
    if (queue_.size() < most_waiting_) {
      queue_.push_back(std::exchange(serve, nullptr));
      waiting_.store(queue_.size(), std::memory_order_relaxed);
    }
  }
  if (!serve) return changed_.notify_one();
  t_refusing = true;
  serve();
  t_refusing = false;
}

void ConnectionPool::shutdown() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ConnectionPool::run() {
  for (std::unique_lock lock(mutex_);;) {
    changed_.wait(lock, [&] { return ending_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const auto serve = std::move(queue_.front());
    queue_.pop_front();
    waiting_.store(queue_.size(), std::memory_order_relaxed);
    lock.unlock();
    serve();
    lock.lock();
  }
}

}  // namespace hnv
