// SPDX-License-Identifier: Apache-2.0
#include "bgp/vty_reader.h"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>

namespace hnv {
namespace {

constexpr size_t kTrailer = 4;  // three NULs and the code, behind a text that has none

tl::unexpected<Error> gone(const char* why) { return fail(ErrorCode::unavailable, why); }

}  // namespace

Result<void> VtyReader::wait(short events) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(until_ - Clock::now()).count();
  pollfd ready{fd_.get(), events, 0};
  const int n = left <= 0 ? 0 : poll(&ready, 1, static_cast<int>(std::min<int64_t>(left, 60'000)));
  if (n == 0) return gone("bgpd is busy and did not answer in time: try again later");
  if (n < 0 && errno != EINTR) return gone("bgpd's vty connection cannot be waited for");
  return {};
}

Result<void> VtyReader::say(const std::string& command) {
  if (command.size() > VtyClient::kLongestLine) return gone("the command is too long");
  // With its NUL.
  for (size_t sent = 0; sent < command.size() + 1;) {
    const ssize_t n = send(fd_.get(), command.c_str() + sent, command.size() + 1 - sent,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      sent += static_cast<size_t>(n);
    } else if (errno != EAGAIN && errno != EINTR) {
      return gone("bgpd ended the connection");
    } else if (auto waited = wait(POLLOUT); !waited) {
      return waited;
    }
  }
  return {};
}

Result<std::string_view> VtyReader::receive() {
  while (true) {
    if (auto waited = wait(POLLIN); !waited) return tl::make_unexpected(waited.error());
    const ssize_t n = recv(fd_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (n > 0) return std::string_view(buffer_.data(), static_cast<size_t>(n));
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) return gone("bgpd ended the connection");
  }
}

Result<uint8_t> VtyReader::read(const std::string& command,
                                const std::function<bool(std::string_view)>& take) {
  if (auto said = say(command); !said) return tl::make_unexpected(said.error());
  size_t behind = 0;  // bytes of the trailer that came
  while (true) {
    const auto bytes = receive();
    if (!bytes) return tl::make_unexpected(bytes.error());
    const size_t text = behind != 0 ? 0 : std::min(bytes->find('\0'), bytes->size());
    if (text != 0 && !take(bytes->substr(0, text))) return uint8_t{0};
    behind += bytes->size() - text;
    if (behind > kTrailer) return gone("bgpd says more than it was asked");
    if (behind == kTrailer) return static_cast<uint8_t>(bytes->back());
  }
}

Result<void> VtyReader::ask(std::span<const std::string> commands,
                            const std::function<void(size_t, VtyAnswer)>& take) {
  VtyStream stream;
  size_t said = 0;
  for (size_t answered = 0; answered < commands.size();) {
    for (; said < commands.size() && said - answered < kWindow; ++said) {
      if (auto done = say(commands[said]); !done) return done;
    }
    const auto bytes = receive();
    if (!bytes) return tl::make_unexpected(bytes.error());
    stream.feed({reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size()});
    while (auto answer = stream.next()) {
      if (answered == commands.size()) return gone("bgpd says more than it was asked");
      take(answered++, std::move(*answer));
    }
    if (stream.waiting() > kLongestAnswer) return gone("bgpd's answer is too long");
  }
  return {};
}

}  // namespace hnv
