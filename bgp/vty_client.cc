// SPDX-License-Identifier: Apache-2.0
#include "bgp/vty_client.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <utility>

#include <fmt/format.h>

namespace hnv {
namespace {

// bgpd may be busy with a large table for seconds, but not for that long.
constexpr Duration kPatience = std::chrono::seconds(60);
constexpr size_t kReadsAtOnce = 16;  // of 16 KiB in one step
constexpr size_t kLeading = 2;       // commands in front of a block's context

tl::unexpected<Error> gone(std::string why) { return fail(ErrorCode::unavailable, std::move(why)); }

bool refused(const VtyAnswer& answer) { return answer.code > 1; }

}  // namespace

Result<OwnedFd> connect_vty(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::invalid_value, fmt::format("the path {} is too long", path));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  OwnedFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return gone(fmt::format("bgpd's vty socket {}: {}", path, std::strerror(errno)));
  }
  return fd;
}

void VtyStream::feed(std::span<const uint8_t> bytes) {
  bytes_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::optional<VtyAnswer> VtyStream::next() {
  constexpr std::string_view kTrailer("\0\0\0", 3);
  const size_t at = bytes_.find(kTrailer, searched_);
  if (at == std::string::npos || at + kTrailer.size() == bytes_.size()) {
    searched_ = bytes_.size() < kTrailer.size() ? 0 : bytes_.size() - kTrailer.size();
    return std::nullopt;
  }
  VtyAnswer out{static_cast<uint8_t>(bytes_[at + kTrailer.size()]), bytes_.substr(0, at)};
  bytes_.erase(0, at + kTrailer.size() + 1);
  searched_ = 0;
  return out;
}

void VtyClient::attach(OwnedFd commands, OwnedFd reads) {
  commands_.emplace(Connection{std::move(commands)});
  reads_.emplace(Connection{std::move(reads)});
  // A new session may only look; nobody asks for a password here.
  say(*commands_, "enable", {}, Instant{});
  say(*reads_, "enable", {}, Instant{});
}

void VtyClient::detach(const Error& why) {
  for (std::optional<Connection>* connection : {&commands_, &reads_}) {
    if (*connection) explicit_bzero((*connection)->out.data(), (*connection)->out.size());
    connection->reset();
  }
  for (Batch& batch : std::exchange(batches_, {})) {
    if (batch.done) batch.done(tl::make_unexpected(why));
  }
  for (Reading& reading : std::exchange(readings_, {})) {
    if (reading.done) reading.done(tl::make_unexpected(why));
  }
}

void VtyClient::apply(BgpdBatch batch, Applied done) {
  if (!attached()) {
    if (done) done(gone("bgpd is not connected"));
    return;
  }
  batches_.push_back({std::move(batch), std::move(done)});
}

void VtyClient::read(std::string command, Read done) {
  if (!attached() || command.size() > kLongestLine) {
    if (done) done(gone(attached() ? "the command is too long" : "bgpd is not connected"));
    return;
  }
  readings_.push_back({std::move(command), std::move(done)});
}

void VtyClient::add_to(std::vector<pollfd>& fds) const {
  for (const std::optional<Connection>* connection : {&commands_, &reads_}) {
    if (!*connection) continue;
    const int events = POLLIN | ((*connection)->out.empty() ? 0 : POLLOUT);
    fds.push_back({(*connection)->fd.get(), static_cast<short>(events), 0});
  }
}

void VtyClient::say(Connection& connection, std::string_view line, const SharedSecret& secret,
                    Instant now) {
  connection.out += line;
  if (secret) connection.out += secret->reveal_text();
  connection.out += '\0';
  if (connection.unanswered++ == 0) connection.since = now;
}

Result<std::vector<VtyAnswer>> VtyClient::exchange(Connection& connection, Instant now) {
  if (connection.sent < connection.out.size()) {
    const ssize_t n = send(connection.fd.get(), connection.out.data() + connection.sent,
                           connection.out.size() - connection.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return gone("bgpd ended the vty connection");
    if (n > 0) connection.sent += static_cast<size_t>(n);
    if (connection.sent == connection.out.size()) {
      explicit_bzero(connection.out.data(), connection.out.size());
      connection.out.clear();
      connection.sent = 0;
    }
  }
  std::array<uint8_t, 16'384> buffer{};
  std::vector<VtyAnswer> answers;
  for (size_t i = 0; i < kReadsAtOnce; ++i) {
    const ssize_t n = recv(connection.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (n <= 0) return gone("bgpd ended the vty connection");
    connection.in.feed({buffer.data(), static_cast<size_t>(n)});
    connection.since = now;
    while (auto answer = connection.in.next()) answers.push_back(std::move(*answer));
    if (connection.in.waiting() > kLongestAnswer) return gone("bgpd's answer has no end");
  }
  if (answers.size() > connection.unanswered) return gone("bgpd answers what nobody asked");
  connection.unanswered -= answers.size();
  if (connection.unanswered != 0) {
    if (connection.since == Instant{}) connection.since = now;
    if (now - connection.since > kPatience) return gone("bgpd does not answer");
  }
  if (!connection.greeted && !answers.empty()) {
    if (refused(answers.front())) return gone("bgpd refuses `enable`: " + answers.front().text);
    connection.greeted = true;
    answers.erase(answers.begin());
  }
  return answers;
}

std::string_view VtyClient::entry(const BgpdBlock& block, size_t index) {
  if (index == 0) return "end";
  if (index == 1) return "configure terminal";
  return block.context[index - kLeading];
}

// Says as much as may be under way.
void VtyClient::continue_batches(Instant now) {
  while (!batches_.empty()) {
    Batch& batch = batches_.front();
    if (batch.block == batch.blocks.size()) {
      const Batch whole = std::move(batch);
      batches_.pop_front();
      if (whole.done) whole.done(whole.faults);
      continue;
    }
    const BgpdBlock& block = batch.blocks[batch.block];
    if (!batch.entered) {
      // All at once: behind one that fails the others are unknown, and "end" undoes any of them.
      for (; !batch.asked && batch.said < kLeading + block.context.size(); ++batch.said) {
        say(*commands_, entry(block, batch.said), {}, now);
      }
      batch.asked = true;
      return;
    }
    while (batch.said < block.lines.size() && batch.said - batch.answered < kWindow) {
      const BgpdLine& line = block.lines[batch.said++];
      const size_t size = line.text.size() + (line.secret ? line.secret->size() : 0);
      if (size <= kLongestLine) {
        say(*commands_, line.text, line.secret, now);
      } else {  // one that is refused in its place, so that answers and lines stay together
        say(*commands_, "a line that is too long", {}, now);
      }
    }
    if (batch.answered < block.lines.size()) return;
    batch.next_block();
  }
}

void VtyClient::take(Batch& batch, VtyAnswer answer) {
  const BgpdBlock& block = batch.blocks[batch.block];
  if (batch.entered) {
    const BgpdLine& line = block.lines[batch.answered++];
    if (refused(answer)) batch.faults.push_back({line.text, std::move(answer)});
    return;
  }
  if (refused(answer) && !batch.lost) {
    batch.lost = true;
    batch.faults.push_back({std::string(entry(block, batch.answered)), std::move(answer)});
  }
  if (++batch.answered < kLeading + block.context.size()) return;
  if (batch.lost) return batch.next_block();  // its lines would land elsewhere
  batch.entered = true;
  batch.said = batch.answered = 0;
}

Result<void> VtyClient::step_commands(Instant now) {
  constexpr int kRounds = 8;  // what answers make possible is said at once, but not for ever
  for (int round = 0; round < kRounds; ++round) {
    continue_batches(now);
    if (!attached()) return {};  // by a callback
    auto answers = exchange(*commands_, now);
    if (!answers) return tl::make_unexpected(answers.error());
    if (answers->empty()) return {};
    for (VtyAnswer& answer : *answers) take(batches_.front(), std::move(answer));
  }
  return {};
}

Result<void> VtyClient::step_reads(Instant now) {
  if (!readings_.empty() && !readings_.front().asked) {
    readings_.front().asked = true;
    say(*reads_, readings_.front().command, {}, now);
  }
  auto answers = exchange(*reads_, now);
  if (!answers) return tl::make_unexpected(answers.error());
  for (VtyAnswer& answer : *answers) {
    const Reading reading = std::move(readings_.front());
    readings_.pop_front();
    if (reading.done) reading.done(std::move(answer));
    if (!attached()) return {};
  }
  return {};
}

void VtyClient::lose(const Error& why) {
  detach(why);
  if (lost_) lost_(why);
}

void VtyClient::step(Instant now) {
  if (attached()) {
    if (auto done = step_commands(now); !done) return lose(done.error());
  }
  if (attached()) {
    if (auto done = step_reads(now); !done) return lose(done.error());
  }
}

}  // namespace hnv
