// SPDX-License-Identifier: Apache-2.0
//
// One connection as cpp-httplib's Stream, plain or over TLS: buffered reads, a deadline for each
// request (so that a caller who sends a byte every few seconds does not keep a thread), and the
// peer's name for the log: its credentials on a Unix socket (SO_PEERCRED), its address on TCP.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <httplib.h>
#include <openssl/ssl.h>

namespace hnv {

// Used by one thread of the http pool; does not own the descriptor.
class ConnectionStream final : public httplib::Stream {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kPerRead{5};
  static constexpr std::chrono::seconds kPerHandshake{10};
  static constexpr std::chrono::seconds kPerRequest{120};

  explicit ConnectionStream(int fd);
  ConnectionStream(const ConnectionStream&) = delete;
  ConnectionStream& operator=(const ConnectionStream&) = delete;
  ConnectionStream(ConnectionStream&&) = delete;
  ConnectionStream& operator=(ConnectionStream&&) = delete;
  ~ConnectionStream() override;  // over TLS: says goodbye (close_notify)

  // From now on over TLS, as the server. False: the caller does not speak it.
  [[nodiscard]] bool start_tls(SSL_CTX& context);

  // Waits for the next request, for the connection's end, for `stop_fd`, or until `give_up` says so
  // (asked every 100 ms); true: a request is there.
  [[nodiscard]] bool wait_for_request(int stop_fd, std::chrono::milliseconds idle,
                                      const std::function<bool()>& give_up);

  [[nodiscard]] bool is_readable() const override;
  [[nodiscard]] bool is_writable() const override;
  ssize_t read(char* to, size_t size) override;
  ssize_t write(const char* from, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  [[nodiscard]] socket_t socket() const override { return fd_; }

 private:
  struct FreeTls {
    void operator()(SSL* tls) const { SSL_free(tls); }
  };

  [[nodiscard]] ssize_t receive();
  // Waits for what TLS wants before `result` can become something else; false: it is final.
  [[nodiscard]] bool wait_for_tls(int result) const;

  int fd_;
  std::string peer_;
  Clock::time_point deadline_;
  std::unique_ptr<SSL, FreeTls> tls_;
  std::array<char, 16384> buffer_{};
  size_t begin_ = 0, end_ = 0;  // what of buffer_ is still to be read
};

}  // namespace hnv
