// SPDX-License-Identifier: Apache-2.0
#include "api/connection_stream.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

#include <fmt/format.h>
#include <openssl/err.h>

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

ConnectionStream::~ConnectionStream() {
  if (!tls_) return;
  (void)SSL_shutdown(tls_.get());
  ERR_clear_error();
}

bool ConnectionStream::start_tls(SSL_CTX& context) {
  deadline_ = Clock::now() + kPerHandshake;
  const int flags = fcntl(fd_, F_GETFL);
  if (flags < 0 || fcntl(fd_, F_SETFL, flags | O_NONBLOCK) != 0) return false;
  std::unique_ptr<SSL, FreeTls> tls(SSL_new(&context));
  if (!tls || SSL_set_fd(tls.get(), fd_) != 1) return false;
  tls_ = std::move(tls);
  int result = 0;
  do {
    result = SSL_accept(tls_.get());
  } while (result != 1 && wait_for_tls(result));
  if (result == 1) return true;
  tls_.reset();
  return false;
}

bool ConnectionStream::wait_for_tls(int result) const {
  const int why = SSL_get_error(tls_.get(), result);
  ERR_clear_error();  // of this thread, for whoever asks next
  if (Clock::now() >= deadline_) return false;
  if (why == SSL_ERROR_WANT_READ) return wait_for(fd_, POLLIN, kPerRead);
  if (why == SSL_ERROR_WANT_WRITE) return wait_for(fd_, POLLOUT, kPerRead);
  return false;
}

bool ConnectionStream::wait_for_request(int stop_fd, milliseconds idle,
                                        const std::function<bool()>& give_up) {
  constexpr milliseconds kAskAgain{100};
  if (begin_ == end_ && !(tls_ && SSL_pending(tls_.get()) > 0)) {
    std::array<pollfd, 2> fds{{{fd_, POLLIN, 0}, {stop_fd, POLLIN, 0}}};
    const auto end = Clock::now() + idle;
    int ready = 0;
    do {
      ready = poll(fds.data(), fds.size(), static_cast<int>(kAskAgain.count()));
    } while ((ready == 0 || (ready < 0 && errno == EINTR)) && Clock::now() < end && !give_up());
    if (ready <= 0 || fds[1].revents != 0) return false;
    // The end of the connection is readable too.
    char byte = 0;
    if (recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) return false;
  }
  deadline_ = Clock::now() + kPerRequest;
  return true;
}

bool ConnectionStream::is_readable() const {
  return begin_ != end_ || (tls_ && SSL_pending(tls_.get()) > 0) || wait_for(fd_, POLLIN, kPerRead);
}

bool ConnectionStream::is_writable() const { return wait_for(fd_, POLLOUT, kPerRead); }

// Into the empty buffer, as much as there is: 0 at the connection's end, -1 after a fault.
ssize_t ConnectionStream::receive() {
  ssize_t got = 0;
  if (tls_) {
    int result = 0;
    do {
      result = SSL_read(tls_.get(), buffer_.data(), static_cast<int>(buffer_.size()));
    } while (result <= 0 && wait_for_tls(result));
    return result > 0 ? result : -1;
  }
  if (!wait_for(fd_, POLLIN, kPerRead)) return -1;
  do {
    got = recv(fd_, buffer_.data(), buffer_.size(), 0);
  } while (got < 0 && errno == EINTR);
  return got;
}

ssize_t ConnectionStream::read(char* to, size_t size) {
  if (begin_ == end_) {
    if (Clock::now() >= deadline_) return -1;
    const ssize_t got = receive();
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
  if (tls_) {
    int result = 0;
    do {
      result = SSL_write(tls_.get(), from, static_cast<int>(std::min<size_t>(size, INT_MAX)));
    } while (result <= 0 && wait_for_tls(result));
    return result > 0 ? result : -1;
  }
  if (Clock::now() >= deadline_ || !wait_for(fd_, POLLOUT, kPerRead)) return -1;
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
