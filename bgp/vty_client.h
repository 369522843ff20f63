// SPDX-License-Identifier: Apache-2.0
//
// The client of bgpd's vty socket, without a thread of its own: the control loop polls its
// descriptors and calls step(). Two connections: one configures, one reads state, so that a long
// table holds no change up.
//
//   us    text NUL
//   bgpd  text NUL NUL NUL return-code
//
// Configuration goes as batches (bgpd_config.h). A command that bgpd does not know where it stands
// is tried one level up, and moves the session there. So what leads to a place is waited for, and
// the lines of a place that was not reached are not sent; lines of one place are under way at once.
//
// Threads: one, the control thread. Callbacks are called from step() and detach(), and may call
// anything here but the destructor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <poll.h>
#include <span>
#include <string>
#include <vector>

#include "bgp/bgpd_config.h"
#include "compartments/clock.h"
#include "compartments/owned_fd.h"
#include "compartments/result.h"

namespace hnv {

// A connected, non-blocking vty socket. The error names the path.
[[nodiscard]] Result<OwnedFd> connect_vty(const std::string& path);

struct VtyAnswer {
  uint8_t code = 0;  // 0: done; 1: done, with a warning; else it was refused
  std::string text;
};

// Cuts a stream into answers.
class VtyStream {
 public:
  void feed(std::span<const uint8_t> bytes);
  [[nodiscard]] std::optional<VtyAnswer> next();
  [[nodiscard]] size_t waiting() const { return bytes_.size(); }  // bytes of an unfinished answer

 private:
  std::string bytes_;
  size_t searched_ = 0;
};

// One line and its answer, in words for an operator: "neighbor 10.0.0.2 password …: …".
struct VtyFault {
  std::string line;  // without its secret
  VtyAnswer answer;
};

class VtyClient {
 public:
  // Of a batch: what was refused, in order; empty when all was done. An error: the connection ended
  // before.
  using Applied = std::function<void(Result<std::vector<VtyFault>>)>;
  using Read = std::function<void(Result<VtyAnswer>)>;

  static constexpr size_t kWindow = 64;          // lines under way
  static constexpr size_t kLongestLine = 4'000;  // bgpd hangs on 4,096
  static constexpr size_t kLongestAnswer = size_t{256} * 1024 * 1024;

  // `lost` is called once when the connections end by themselves.
  explicit VtyClient(std::function<void(const Error&)> lost) : lost_(std::move(lost)) {}

  // Two connected, non-blocking sockets. REQUIRES !attached().
  void attach(OwnedFd commands, OwnedFd reads);
  // Ends the connections; what waits is answered with the error.
  void detach(const Error& why);
  [[nodiscard]] bool attached() const { return commands_.has_value(); }

  // Both are answered at once with an error when nothing is attached.
  void apply(BgpdBatch batch, Applied done);
  void read(std::string command, Read done);
  [[nodiscard]] size_t batches_waiting() const { return batches_.size(); }

  void add_to(std::vector<pollfd>& fds) const;
  // Reads and writes what can be, without ever waiting. Cheap when there is nothing.
  void step(Instant now);

 private:
  struct Connection {
    OwnedFd fd;
    std::string out{};
    size_t sent = 0;
    VtyStream in{};
    Instant since{};  // of the oldest command without an answer
    size_t unanswered = 0;
    bool greeted = false;  // `enable` was answered
  };
  struct Batch {
    BgpdBatch blocks;
    Applied done;
    size_t block = 0;
    bool entered = false;  // the context of `block` was; until then it is what is said
    bool asked = false;
    bool lost = false;  // a command of the context was refused
    size_t said = 0;
    size_t answered = 0;
    void next_block() {
      ++block;
      entered = asked = lost = false;
      said = answered = 0;
    }
    std::vector<VtyFault> faults{};
  };
  struct Reading {
    std::string command;
    Read done;
    bool asked = false;
  };

  static void say(Connection& connection, std::string_view line, const SharedSecret& secret,
                  Instant now);
  // What leads to a block: "end", "configure terminal", its context.
  static std::string_view entry(const BgpdBlock& block, size_t index);
  [[nodiscard]] Result<std::vector<VtyAnswer>> exchange(Connection& connection, Instant now);
  [[nodiscard]] Result<void> step_commands(Instant now);
  [[nodiscard]] Result<void> step_reads(Instant now);
  void continue_batches(Instant now);
  void take(Batch& batch, VtyAnswer answer);
  void lose(const Error& why);

  std::function<void(const Error&)> lost_;
  std::optional<Connection> commands_;
  std::optional<Connection> reads_;
  std::deque<Batch> batches_;
  std::deque<Reading> readings_;
};

}  // namespace hnv
