// SPDX-License-Identifier: Apache-2.0
#include "gateway/handoff.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace hnv {

Handoffs::Handoffs(unsigned workers)
    : workers_(workers), rings_(size_t{workers} * workers), sleepers_(new Sleeper[workers]()) {
  for (unsigned from = 0; from < workers; ++from) {
    for (unsigned to = 0; to < workers; ++to) {
      if (from != to) rings_[from * workers + to] = std::make_unique<Ring>();
    }
  }
}

uint64_t Handoffs::waiting() const {
  uint64_t sum = 0;
  for (unsigned worker = 0; worker < workers_; ++worker) sum += waiting_for(worker);
  return sum;
}

uint64_t Handoffs::waiting_for(unsigned worker) const {
  uint64_t sum = 0;
  for (unsigned from = 0; from < workers_; ++from) {
    if (from != worker) sum += rings_[from * workers_ + worker]->size();
  }
  return sum;
}

void Handoffs::rest(unsigned worker, Duration longest) {
  std::atomic<uint32_t>& asleep = sleepers_[worker].asleep;
  asleep.store(1);
  if (waiting_for(worker) == 0) {
    const timespec time{.tv_sec = 0, .tv_nsec = longest.count()};
    // Whatever ends it (woken, woken before it began, time, a signal): the next breath looks.
    (void)syscall(SYS_futex, &asleep, FUTEX_WAIT_PRIVATE, 1, &time, nullptr, 0);
  }
  asleep.store(0, std::memory_order_relaxed);
}

void Handoffs::wake(unsigned worker) {
  std::atomic<uint32_t>& asleep = sleepers_[worker].asleep;
  if (asleep.load() == 0) return;
  asleep.store(0);
  (void)syscall(SYS_futex, &asleep, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace hnv
