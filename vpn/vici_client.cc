// SPDX-License-Identifier: Apache-2.0
#include "vpn/vici_client.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <utility>

#include <fmt/format.h>

namespace hnv {
namespace {

// A step must not keep the control thread: the rest comes with the next one.
constexpr size_t kPacketsAtOnce = 64;

tl::unexpected<Error> gone(std::string why) { return fail(ErrorCode::unavailable, std::move(why)); }

// The errno of a stream that broke, in words; the far end going is one thing whatever the kernel
// calls it.
tl::unexpected<Error> broken(int number) {
  if (number == ECONNRESET || number == EPIPE) return gone("charon ended the connection");
  return gone(fmt::format("charon's control socket: {}", std::strerror(number)));
}

}  // namespace

Result<OwnedFd> connect_vici(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::invalid_value, fmt::format("the path {} is too long", path));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  OwnedFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return gone(fmt::format("charon's control socket {}: {}", path, std::strerror(errno)));
  }
  return fd;
}

Result<void> success_of(const ViciSection& response) {
  const std::string* success = response.value("success");
  if (success != nullptr && *success == "yes") return {};
  const std::string* why = response.value("errmsg");
  return fail(ErrorCode::internal, why != nullptr ? *why : "charon gives no reason");
}

Result<void> ViciConnection::send(ViciBytes packet) {
  out_.push_back(std::move(packet));
  return flush();
}

pollfd ViciConnection::poll_fd() const {
  return {fd_.get(), static_cast<short>(out_.empty() ? POLLIN : POLLIN | POLLOUT), 0};
}

Result<void> ViciConnection::flush() {
  while (!out_.empty()) {
    const auto left = out_.front().bytes().subspan(sent_);
    const ssize_t n = ::send(fd_.get(), left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EAGAIN || errno == EINTR) return {};
      return broken(errno);
    }
    sent_ += static_cast<size_t>(n);
    if (sent_ < out_.front().bytes().size()) return {};
    out_.pop_front();
    sent_ = 0;
  }
  return {};
}

Result<std::vector<ViciPacket>> ViciConnection::step(size_t most) {
  if (auto done = flush(); !done) return tl::make_unexpected(done.error());
  std::vector<ViciPacket> packets;
  std::array<uint8_t, 16384> buffer{};
  for (;;) {
    while (packets.size() < most) {
      auto packet = in_.next();
      if (!packet) break;
      if (!*packet) return tl::make_unexpected(packet->error());
      packets.push_back(std::move(**packet));
    }
    if (packets.size() == most) return packets;
    const ssize_t n = recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n > 0) {
      in_.feed({buffer.data(), static_cast<size_t>(n)});
    } else if ((n < 0 && (errno == EAGAIN || errno == EINTR)) || !packets.empty()) {
      return packets;  // an end is seen again next time
    } else {
      return broken(n == 0 ? ECONNRESET : errno);
    }
  }
}

ViciClient::ViciClient(std::vector<std::string> events, OnEvent on_event,
                       std::function<void(const Error&)> lost)
    : events_(std::move(events)), on_event_(std::move(on_event)), lost_(std::move(lost)) {}

void ViciClient::attach(OwnedFd commands, OwnedFd events) {
  commands_.emplace(std::move(commands));
  listening_.emplace(std::move(events));
  confirmed_events_ = 0;
  phase_ = Phase::idle;
  for (const std::string& event : events_) {
    auto bytes = encode({ViciType::event_register, event, {}});
    // A fault of the connection: step() finds it again and says so.
    if (!bytes || !listening_->send(std::move(*bytes))) return;
  }
}

void ViciClient::detach(const Error& why) {
  commands_.reset();
  listening_.reset();
  phase_ = Phase::idle;
  answer_ = {};
  command_error_.reset();
  // A callback may ask anew: that is answered by request().
  for (Waiting& waiting : std::exchange(queue_, {})) {
    if (waiting.command.done) waiting.command.done(tl::make_unexpected(why));
  }
}

void ViciClient::request(Command command) {
  if (!attached()) {
    if (command.done) command.done(gone("charon is not connected"));
    return;
  }
  auto bytes = encode({ViciType::command_request, command.name, std::move(command.message)});
  command.message = {};
  if (!bytes) {
    if (command.done) command.done(tl::make_unexpected(bytes.error()));
    return;
  }
  queue_.push_back({std::move(command), std::move(*bytes)});
}

void ViciClient::add_to(std::vector<pollfd>& fds) const {
  if (!attached()) return;
  fds.push_back(commands_->poll_fd());
  // charon's log comes line by line: it wakes nobody, the loop's next round is soon enough.
  if (confirmed_events_ < events_.size()) fds.push_back(listening_->poll_fd());
}

void ViciClient::start(Instant now) {
  if (phase_ != Phase::idle || queue_.empty()) return;
  const Command& command = queue_.front().command;
  deadline_ = now + command.timeout;
  answer_ = {};
  command_error_.reset();
  // A fault of the connection is found again by the next step.
  if (command.stream_event.empty()) {
    (void)send_command();
  } else {
    phase_ = Phase::registering;
    (void)send_event_command(ViciType::event_register);
  }
}

Result<void> ViciClient::send_command() {
  phase_ = Phase::commanded;
  return commands_->send(std::move(queue_.front().bytes));
}

Result<void> ViciClient::send_event_command(ViciType type) {
  auto bytes = encode({type, queue_.front().command.stream_event, {}});
  if (!bytes) return tl::make_unexpected(bytes.error());
  return commands_->send(std::move(*bytes));
}

void ViciClient::finish(Result<Answer> answer) {
  phase_ = Phase::idle;
  const Command command = std::move(queue_.front().command);
  queue_.pop_front();
  if (command.done) command.done(std::move(answer));
}

void ViciClient::answered(Instant now) {
  finish(command_error_ ? Result<Answer>(tl::make_unexpected(*command_error_))
                        : Result<Answer>(std::move(answer_)));
  start(now);
}

Result<void> ViciClient::take_command(const ViciPacket& packet, Instant now) {
  if (queue_.empty() || phase_ == Phase::idle) return gone("charon answers what nobody asked");
  const Command& command = queue_.front().command;
  switch (packet.type) {
    case ViciType::event:
      if (packet.name != command.stream_event) return gone("an event that nobody asked for");
      answer_.stream.push_back(packet.message);
      return {};
    case ViciType::event_confirm:
      if (phase_ == Phase::registering) return send_command();
      if (phase_ != Phase::unregistering) return gone("a confirmation that nobody asked for");
      answered(now);
      return {};
    case ViciType::event_unknown:
      finish(fail(ErrorCode::not_supported,
                  fmt::format("charon does not know the event {}", command.stream_event)));
      start(now);
      return {};
    case ViciType::command_response:
    case ViciType::command_unknown:
      if (phase_ != Phase::commanded) return gone("an answer that nobody asked for");
      if (packet.type == ViciType::command_unknown) {
        command_error_ = Error{ErrorCode::not_supported,
                               fmt::format("charon does not know the command {}", command.name),
                               {},
                               {}};
      }
      answer_.response = packet.message;
      if (!command.stream_event.empty()) {
        phase_ = Phase::unregistering;
        return send_event_command(ViciType::event_unregister);
      }
      answered(now);
      return {};
    default:
      return gone("charon sends what only a client sends");
  }
}

Result<void> ViciClient::take_event(const ViciPacket& packet) {
  switch (packet.type) {
    case ViciType::event_confirm:
      ++confirmed_events_;
      return {};
    case ViciType::event_unknown:
      return gone(fmt::format(
          "charon does not know the event {}",
          confirmed_events_ < events_.size() ? events_[confirmed_events_] : std::string("?")));
    case ViciType::event:
      if (on_event_) on_event_(packet.name, packet.message);
      return {};
    default:
      return gone("charon answers a command on the connection for events");
  }
}

void ViciClient::step(Instant now) {
  if (!attached()) return;
  const auto lose = [this](const Error& why) {
    detach(why);
    if (lost_) lost_(why);
  };
  auto events = listening_->step(kPacketsAtOnce);
  if (!events) return lose(events.error());
  for (const ViciPacket& packet : *events) {
    if (auto taken = take_event(packet); !taken) return lose(taken.error());
    if (!attached()) return;
  }
  start(now);
  auto packets = commands_->step(kPacketsAtOnce);
  if (!packets) return lose(packets.error());
  for (const ViciPacket& packet : *packets) {
    if (auto taken = take_command(packet, now); !taken) return lose(taken.error());
    if (!attached()) return;
  }
  start(now);
  if (phase_ != Phase::idle && now >= deadline_) {
    lose(Error{ErrorCode::unavailable,
               fmt::format("charon did not answer {} in time", queue_.front().command.name),
               {},
               {}});
  }
}

}  // namespace hnv
