// SPDX-License-Identifier: Apache-2.0
//
// The REST API as one part of the gateway: a Unix socket, and a TCP listener where it is
// configured.
//
//   ApiServer api(control, config.api);  // listens; throws std::runtime_error saying what to
//   change … api.stop();                          // answers what is under way, then closes
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/control.h"
#include "api/http_listener.h"
#include "api/listening_socket.h"
#include "api/service.h"

namespace hnv {

struct ApiTcpConfig {
  std::string address = "127.0.0.1";  // literal; beyond loopback TLS is required
  uint16_t port = 0;                  // 0: any free one, for tests
  std::string token_file;
  std::vector<std::string> allowed_hosts;  // empty: localhost and `address`
  std::string tls_certificate_file, tls_key_file;
  bool open_metrics = false;  // /metrics without a token
};

struct ApiConfig {
  std::string socket_path = "/run/hnv-gateway/api.sock";
  std::optional<ApiTcpConfig> tcp;
  size_t max_body = 64 << 20;
  size_t threads = 8;         // of each listener
  size_t most_waiting = 256;  // connections of each listener that wait for a thread
};

// `control` must outlive the server and must answer until stop() has returned.
class ApiServer {
 public:
  ApiServer(Control& control, const ApiConfig& config);
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;
  ApiServer(ApiServer&&) = delete;
  ApiServer& operator=(ApiServer&&) = delete;
  ~ApiServer() { stop(); }

  void stop();
  [[nodiscard]] uint16_t tcp_port() const { return tcp_ ? tcp_->port() : uint16_t{0}; }

 private:
  [[nodiscard]] HttpListenerOptions options(const ApiConfig& config);
  void listen_tcp(const ApiTcpConfig& tcp, HttpListenerOptions options);

  ApiService service_;
  UnixSocket unix_;
  std::optional<TcpSocket> tcp_;
  std::unique_ptr<HttpListener> unix_listener_, tcp_listener_;
};

// What is wrong with a configuration by itself, for `hnv-gateway --check`; nullopt: nothing.
[[nodiscard]] std::optional<std::string> fault_of(const ApiConfig& config);

}  // namespace hnv
