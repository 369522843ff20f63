// SPDX-License-Identifier: Apache-2.0
#include "api/connection_stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <fmt/format.h>

namespace hnv {
namespace {

using std::chrono::milliseconds;

bool wait_for(int fd, short events, milliseconds timeout) {
  pollfd poll_fd{fd, events, 0};
  int ready = 0;
  do {
    ready = poll(&poll_fd, 1, static_cast<int>(timeout.count()));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

// "uid 0 gid 0 pid 42" on a Unix socket, the address on TCP.
std::string name_of_peer(int fd) {
  sockaddr_storage peer{};
  socklen_t size = sizeof(peer);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return "unknown";
  if (peer.ss_family == AF_UNIX) {
    ucred credentials{};
    socklen_t length = sizeof(credentials);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return "unknown";
    return fmt::format("uid {} gid {} pid {}", credentials.uid, credentials.gid, credentials.pid);
  }
  std::array<char, NI_MAXHOST> host{};
  if (getnameinfo(reinterpret_cast<const sockaddr*>(&peer), size, host.data(), host.size(), nullptr,
                  0, NI_NUMERICHOST) != 0) {
    return "unknown";
  }
  return host.data();
}

}  // namespace

ConnectionStream::ConnectionStream(int fd)
    : fd_(fd), peer_(name_of_peer(fd)), deadline_(Clock::now() + kPerRequest) {}

bool ConnectionStream::wait_for_request(int stop_fd, milliseconds idle) {
  if (begin_ == end_) {
    std::array<pollfd, 2> fds{{{fd_, POLLIN, 0}, {stop_fd, POLLIN, 0}}};
    int ready = 0;
    do {
      ready = poll(fds.data(), fds.size(), static_cast<int>(idle.count()));
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0 || fds[1].revents != 0) return false;
    // The end of the connection is readable too.
    char byte = 0;
    if (recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) return false;
  }
  deadline_ = Clock::now() + kPerRequest;
  return true;
}

bool ConnectionStream::is_readable() const {
  return begin_ != end_ || wait_for(fd_, POLLIN, kPerRead);
}

bool ConnectionStream::is_writable() const { return wait_for(fd_, POLLOUT, kPerRead); }

ssize_t ConnectionStream::read(char* to, size_t size) {
  if (begin_ == end_) {
    if (Clock::now() >= deadline_ || !wait_for(fd_, POLLIN, kPerRead)) return -1;
    ssize_t got = 0;
    do {
      got = recv(fd_, buffer_.data(), buffer_.size(), 0);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) return got;
    begin_ = 0;
    end_ = static_cast<size_t>(got);
  }
  const size_t taken = std::min(size, end_ - begin_);
  std::memcpy(to, buffer_.data() + begin_, taken);
  begin_ += taken;
  return static_cast<ssize_t>(taken);
}

ssize_t ConnectionStream::write(const char* from, size_t size) {
  if (!wait_for(fd_, POLLOUT, kPerRead)) return -1;
  ssize_t sent = 0;
  do {
    sent = send(fd_, from, size, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

void ConnectionStream::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip = peer_;
  port = 0;
}

void ConnectionStream::get_local_ip_and_port(std::string& ip, int& port) const {
  ip.clear();  // nobody asks
  port = 0;
}

}  // namespace hnv
