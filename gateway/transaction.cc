// SPDX-License-Identifier: Apache-2.0
#include "gateway/transaction.h"

#include <cerrno>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace hnv {
namespace {

// A group ends when it holds this many operations, so that step() stays short.
constexpr size_t kMaxGroupOperations = 1024;

int make_eventfd() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

ChangeQueue::Answer unavailable() {
  return tl::make_unexpected(ChangeError{
      Error{ErrorCode::unavailable, "the gateway is shutting down; nothing was changed", {}, {}},
      0});
}

}  // namespace

ChangeQueue::ChangeQueue(ModelPtr initial, Store& store, PortCatalog ports, ServerChoices choices,
                         Compile compile, Pause pause)
    : store_(store),
      ports_(std::move(ports)),
      choices_(std::move(choices)),
      compile_(std::move(compile)),
      pause_(std::move(pause)),
      wake_fd_(make_eventfd()),
      current_(std::move(initial)),
      store_thread_([this] { run_store(); }) {}

ChangeQueue::~ChangeQueue() {
  stop();
  close(wake_fd_);
}

std::future<ChangeQueue::Answer> ChangeQueue::post(Change change) {
  Waiting waiting{std::move(change), {}};
  auto answer = waiting.answer.get_future();
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      waiting.answer.set_value(unavailable());
      return answer;
    }
    waiting_.push_back(std::move(waiting));
  }
  wake();
  return answer;
}

ModelPtr ChangeQueue::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

void ChangeQueue::wake() const {
  const uint64_t one = 1;
  // Only a full counter (2^64 - 2 wakes unread) could refuse, and that is readable too.
  (void)!write(wake_fd_, &one, sizeof one);
}

void ChangeQueue::step() {
  uint64_t wakes = 0;
  (void)!read(wake_fd_, &wakes, sizeof wakes);
  std::optional<Result<void>> committed;
  {
    const std::lock_guard lock(mutex_);
    committed.swap(committed_);
  }
  if (committed) finish_group(*committed);
  // A group that changes nothing is done at once; then the next one may start.
  while (!in_flight_) {
    auto changes = take_waiting();
    if (changes.empty()) return;
    start_group(std::move(changes));
  }
}

std::vector<ChangeQueue::Waiting> ChangeQueue::take_waiting() {
  std::vector<Waiting> taken;
  const std::lock_guard lock(mutex_);
  for (size_t operations = 0; !waiting_.empty() && operations < kMaxGroupOperations;) {
    operations += waiting_.front().change.operations.size();
    taken.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  return taken;
}

void ChangeQueue::start_group(std::vector<Waiting> changes) {
  Group group{current(), nullptr, {}, {}};
  group.after = group.before;
  for (auto& [change, promise] : changes) {
    auto applied = apply(group.after, change, ports_, choices_, pause_);
    if (applied) {
      group.after = std::move(applied->next);
      group.answers.emplace_back(std::move(promise), std::move(applied->applied));
    } else {
      group.answers.emplace_back(std::move(promise),
                                 tl::make_unexpected(std::move(applied.error())));
    }
  }
  in_flight_ = std::move(group);
  const auto& [before, after] = std::tie(in_flight_->before, in_flight_->after);
  if (after == before) return finish_group({});

  auto touched = differences(*before, *after, pause_);
  auto publish = compile_(before, after, touched);
  if (!publish) return finish_group(tl::make_unexpected(std::move(publish).error()));
  in_flight_->publish = std::move(*publish);
  {
    const std::lock_guard lock(mutex_);
    to_commit_ = Commit{before, after, std::move(changes), std::move(touched)};
  }
  store_has_work_.notify_one();
}

void ChangeQueue::finish_group(const Result<void>& stored) {
  Group group = std::move(*in_flight_);
  in_flight_.reset();
  if (stored && group.publish) {
    group.publish();
    const std::lock_guard lock(mutex_);
    current_ = group.after;
  }
  for (auto& [promise, answer] : group.answers) {
    if (stored) {
      promise.set_value(std::move(answer));
    } else {
      promise.set_value(tl::make_unexpected(ChangeError{stored.error(), 0}));
    }
  }
}

void ChangeQueue::run_store() {
  for (std::unique_lock lock(mutex_);;) {
    store_has_work_.wait(lock, [&] { return to_commit_ || stopping_; });
    if (!to_commit_) return;
    Commit commit = std::move(*to_commit_);
    to_commit_.reset();
    lock.unlock();
    auto stored =
        store_.commit(store_writes(*commit.before, *commit.after), commit.after->generation());
    lock.lock();
    committed_ = std::move(stored);
    wake();
    lock.unlock();
    commit = {};
    lock.lock();
  }
}

void ChangeQueue::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  store_has_work_.notify_one();
  store_thread_.join();
  // No other thread changes anything any more, but post() and current() may still be called.
  if (in_flight_) finish_group(committed_.value());
  const std::lock_guard lock(mutex_);
  for (auto& waiting : waiting_) waiting.answer.set_value(unavailable());
  waiting_.clear();
}

}  // namespace hnv
