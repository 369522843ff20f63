// SPDX-License-Identifier: Apache-2.0
//
// The client of charon's control socket (VICI), without a thread of its own: the control loop polls
// its descriptors and calls step(). Two connections, because charon answers the commands of one in
// their order: one for commands, one for events.
//
// A command is sent when the one before it was answered. One that is not answered in time ends both
// connections, since nobody knows what its answer would be taken for; everything that waits is then
// answered with an error, and the owner attaches new connections when charon is there again.
//
// Threads: one, the control thread. Callbacks are called from step() and detach(), and may call
// anything here but the destructor.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <poll.h>
#include <string>
#include <vector>

#include "compartments/clock.h"
#include "compartments/owned_fd.h"
#include "compartments/result.h"
#include "vpn/vici_codec.h"

namespace hnv {

// A connected, non-blocking VICI socket. The error names the path.
[[nodiscard]] Result<OwnedFd> connect_vici(const std::string& path);

// What a command that says `success` says: nothing, or its `errmsg`.
[[nodiscard]] Result<void> success_of(const ViciSection& response);

// One non-blocking stream of packets.
class ViciConnection {
 public:
  explicit ViciConnection(OwnedFd fd) : fd_(std::move(fd)) {}
  [[nodiscard]] Result<void> send(ViciBytes packet);
  [[nodiscard]] pollfd poll_fd() const;
  // Writes what waits and reads what is there, at most `most` packets.
  [[nodiscard]] Result<std::vector<ViciPacket>> step(size_t most);

 private:
  [[nodiscard]] Result<void> flush();

  OwnedFd fd_;
  std::deque<ViciBytes> out_;
  size_t sent_ = 0;  // of the first
  ViciStream in_;
};

class ViciClient {
 public:
  struct Answer {
    ViciSection response;
    std::vector<ViciSection> stream;  // of a streaming command, in order
  };
  using Done = std::function<void(Result<Answer>)>;
  using OnEvent = std::function<void(const std::string& event, const ViciSection& message)>;
  struct Command {
    std::string name;
    ViciSection message;
    std::string stream_event;  // of a streaming command, e.g. "list-sa" of "list-sas"; else empty
    Duration timeout = std::chrono::seconds(10);  // from when it is sent
    Done done;
  };

  // `events` are registered on the second connection as soon as there is one. `lost` is called once
  // when the connections end by themselves.
  ViciClient(std::vector<std::string> events, OnEvent on_event,
             std::function<void(const Error&)> lost);

  // Two connected, non-blocking sockets. REQUIRES !attached().
  void attach(OwnedFd commands, OwnedFd events);
  // Ends the connections; what waits is answered with the error.
  void detach(const Error& why);
  [[nodiscard]] bool attached() const { return commands_.has_value(); }

  // Answered at once with an error when nothing is attached, or when it cannot be encoded.
  void request(Command command);
  // Commands that are not answered yet.
  [[nodiscard]] size_t waiting() const { return queue_.size(); }

  // Adds what the loop should poll. Events are not waited for: step() at least every few
  // milliseconds.
  void add_to(std::vector<pollfd>& fds) const;
  // Reads and writes what can be, without ever waiting. Cheap when there is nothing.
  void step(Instant now);

 private:
  enum class Phase : uint8_t { idle, registering, commanded, unregistering };
  struct Waiting {
    Command command;  // without its message
    ViciBytes bytes;
  };

  void start(Instant now);
  [[nodiscard]] Result<void> take_command(const ViciPacket& packet, Instant now);
  [[nodiscard]] Result<void> take_event(const ViciPacket& packet);
  [[nodiscard]] Result<void> send_command();
  [[nodiscard]] Result<void> send_event_command(ViciType type);
  void answered(Instant now);
  void finish(Result<Answer> answer);

  std::vector<std::string> events_;
  OnEvent on_event_;
  std::function<void(const Error&)> lost_;
  std::optional<ViciConnection> commands_;
  std::optional<ViciConnection> listening_;
  size_t confirmed_events_ = 0;
  std::deque<Waiting> queue_;  // the first is under way unless idle
  Phase phase_ = Phase::idle;
  Instant deadline_;
  Answer answer_;
  std::optional<Error> command_error_;
};

}  // namespace hnv
