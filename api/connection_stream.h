// SPDX-License-Identifier: Apache-2.0
//
// One plain connection as cpp-httplib's Stream: buffered reads, a deadline for each request (so
// that a caller who sends a byte every few seconds does not keep a thread), and the peer's name for
// the log: its credentials on a Unix socket (SO_PEERCRED), its address on TCP.
#pragma once

#include <array>
#include <chrono>
#include <string>

#include <httplib.h>

namespace hnv {

// Used by one thread of the http pool; does not own the descriptor.
class ConnectionStream final : public httplib::Stream {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kPerRead{5};
  static constexpr std::chrono::seconds kPerRequest{120};

  explicit ConnectionStream(int fd);

  // Waits for the next request, for the connection's end, or for `stop_fd`; true: a request is
  // there.
  [[nodiscard]] bool wait_for_request(int stop_fd, std::chrono::milliseconds idle);

  [[nodiscard]] bool is_readable() const override;
  [[nodiscard]] bool is_writable() const override;
  ssize_t read(char* to, size_t size) override;
  ssize_t write(const char* from, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  [[nodiscard]] socket_t socket() const override { return fd_; }

 private:
  int fd_;
  std::string peer_;
  Clock::time_point deadline_;
  std::array<char, 16384> buffer_{};
  size_t begin_ = 0, end_ = 0;  // what of buffer_ is still to be read
};

}  // namespace hnv
