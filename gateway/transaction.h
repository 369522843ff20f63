// SPDX-License-Identifier: Apache-2.0
//
// From a change to an answer: group commit.
//
//   http threads ── submit ──▶ waiting ─┐            control thread            store thread
//                                       └─ step: apply each to the head
//                                                compile once ──────────────▶ commit (fsync)
//                                          step: publish, answer ◀──────────── done
//
// One commit is in flight at a time; what arrives meanwhile waits and shares the next one. So the
// control thread never waits for the disk, one change costs one fsync, and a hundred concurrent
// ones cost two.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "api/control.h"
#include "gateway/model.h"
#include "gateway/store.h"

namespace hnv {

// Each change of a group succeeds or fails by itself when it is checked. From then on the group has
// one fate: when compiling or storing fails, nothing is published, the model stays, and every
// change of the group is answered with that error (also those that were refused: what refused them
// may have been a change that is no more).
//
// An answer is sent after its group was stored and published.
class ChangeQueue {
 public:
  using Answer = tl::expected<Applied, ChangeError>;
  // Makes a model live in the dataplane. Cannot fail.
  using Publish = std::function<void()>;
  // Prepares that, on the control thread. `touched` is differences(*before, *after).
  using Compile = std::function<Result<Publish>(const ModelPtr& before, const ModelPtr& after,
                                                const std::vector<Touched>& touched)>;

  // REQUIRES that `store` holds what `initial` says, and outlives this. From now on only the store
  // thread, which this starts, uses it.
  // `pause` is called by step() as Pause says; it must not call step().
  ChangeQueue(ModelPtr initial, Store& store, PortCatalog ports, ServerChoices choices,
              Compile compile, Pause pause = {});
  ChangeQueue(const ChangeQueue&) = delete;
  ChangeQueue& operator=(const ChangeQueue&) = delete;
  ChangeQueue(ChangeQueue&&) = delete;
  ChangeQueue& operator=(ChangeQueue&&) = delete;
  ~ChangeQueue();  // stop()

  // Any thread but the control thread. `submit` waits for the answer.
  [[nodiscard]] std::future<Answer> post(Change change);
  [[nodiscard]] Answer submit(Change change) { return post(std::move(change)).get(); }
  // Any thread: what is stored and live.
  [[nodiscard]] ModelPtr current() const;

  // Control thread. Readable when step() has something to do.
  [[nodiscard]] int wake_fd() const { return wake_fd_; }
  // Answers a group whose commit is done, and starts the next one. Never waits for the disk.
  void step();
  // Waits for the commit in flight and answers it as step() would; what waits, and whatever is
  // posted from now on, is answered `unavailable`.
  void stop();

 private:
  struct Waiting {
    Change change;
    std::promise<Answer> answer;
  };
  struct Group {
    ModelPtr before, after;
    Publish publish;
    std::vector<std::pair<std::promise<Answer>, Answer>> answers;
  };

  [[nodiscard]] std::vector<Waiting> take_waiting();
  void start_group(std::vector<Waiting> changes);
  void finish_group(const Result<void>& stored);
  void run_store();
  void wake() const;

  // Control thread only.
  Store& store_;  // and the store thread's
  const PortCatalog ports_;
  const ServerChoices choices_;
  const Compile compile_;
  const Pause pause_;
  std::optional<Group> in_flight_;

  const int wake_fd_;
  mutable std::mutex mutex_;
  std::condition_variable store_has_work_;
  std::deque<Waiting> waiting_;  // below: under mutex_
  ModelPtr current_;
  struct Commit {
    ModelPtr before, after;
    // No longer needed, and many: the control thread does not stop for freeing them.
    std::vector<Waiting> changes;
    std::vector<Touched> touched;
  };
  std::optional<Commit> to_commit_;
  std::optional<Result<void>> committed_;
  bool stopping_ = false;

  std::thread store_thread_;  // last: it uses what is above
};

}  // namespace hnv
