// SPDX-License-Identifier: Apache-2.0
//
// The threads that serve a listener's connections, and the connections that wait for one of them.
// Both are bounded: a caller who opens thousands of connections costs the gateway nothing but their
// refusal. cpp-httplib calls it by its TaskQueue.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <httplib.h>

namespace hnv {

class ConnectionPool final : public httplib::TaskQueue {
 public:
  ConnectionPool(size_t threads, size_t most_waiting);

  // From the accepting thread. A connection that finds no place is served at once, by the caller,
  // while refusing() is true: it must not wait for anything.
  void enqueue(std::function<void()> serve) override;
  // Serves what waits, then ends the threads.
  void shutdown() override;

  // On the thread that serves a connection.
  [[nodiscard]] static bool refusing();
  // Others wait: whoever has a thread should give it back soon.
  [[nodiscard]] bool crowded() const { return waiting_.load(std::memory_order_relaxed) != 0; }

 private:
  void run();

  const size_t most_waiting_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool ending_ = false;
  std::atomic<size_t> waiting_{0};  // queue_'s size, without the mutex
  std::vector<std::thread> threads_;
};

}  // namespace hnv
