// SPDX-License-Identifier: Apache-2.0
#include "api/server.h"

#include <stdexcept>
#include <utility>

#include <fmt/format.h>

namespace hnv {
namespace {

const ApiConfig& checked(const ApiConfig& config) {
  if (auto fault = fault_of(config)) throw std::runtime_error("api: " + *fault);
  return config;
}

}  // namespace

std::optional<std::string> fault_of(const ApiConfig& config) {
  if (config.socket_path.empty() || config.socket_path.front() != '/') {
    return "socket: must be an absolute path such as \"/run/hnv-gateway/api.sock\"";
  }
  if (!config.tcp) return std::nullopt;
  const ApiTcpConfig& tcp = *config.tcp;
  if (!IpAddress<Space::external>::parse(tcp.address)) {
    return fmt::format("tcp: address \"{}\" must be a literal IPv4 or IPv6 address", tcp.address);
  }
  if (tcp.token_file.empty()) {
    return "tcp: tokenFile is required, on loopback too: other users of this host can connect";
  }
  if (tcp.tls_certificate_file.empty() != tcp.tls_key_file.empty()) {
    return "tcp: tlsCertificateFile and tlsKeyFile go together";
  }
  if (!is_loopback(tcp.address) && tcp.tls_certificate_file.empty()) {
    return fmt::format(
        "tcp: address {} is beyond loopback: tlsCertificateFile and tlsKeyFile are "
        "required",
        tcp.address);
  }
  if (!is_loopback(tcp.address) && tcp.allowed_hosts.empty()) {
    return "tcp: allowedHosts is required beyond loopback: the names that clients put in their "
           "URLs";
  }
  return std::nullopt;
}

ApiServer::ApiServer(Control& control, const ApiConfig& config)
    : service_(control), unix_(checked(config).socket_path) {
  // TCP first: its configuration has more that can be wrong, and nothing should be half open.
  if (config.tcp) listen_tcp(*config.tcp, options(config));
  unix_listener_ = serve_http(unix_.fd(), options(config));
}

HttpListenerOptions ApiServer::options(const ApiConfig& config) {
  HttpListenerOptions options;
  options.max_body = config.max_body;
  options.threads = config.threads;
  options.most_waiting = config.most_waiting;
  options.answer = [this](const HttpRequest& request) { return service_.answer(request); };
  return options;
}

void ApiServer::listen_tcp(const ApiTcpConfig& tcp, HttpListenerOptions options) {
  auto admission = std::make_shared<TcpAdmission>(BearerToken::from_file(tcp.token_file));
  admission->allowed_hosts = tcp.allowed_hosts;
  if (admission->allowed_hosts.empty()) {
    const bool v6 = tcp.address.find(':') != std::string::npos;
    admission->allowed_hosts = {"localhost", v6 ? "[" + tcp.address + "]" : tcp.address};
  }
  if (tcp.open_metrics) admission->open_path = "/metrics";
  options.admit = [admission](const RequestHead& head) {
    return admission->refusal(head, FailedAttempts::Clock::now());
  };
  tcp_.emplace(tcp.address, tcp.port);
  tcp_listener_ =
      tcp.tls_certificate_file.empty()
          ? serve_http(tcp_->fd(), std::move(options))
          : serve_https(tcp_->fd(), std::move(options), tcp.tls_certificate_file, tcp.tls_key_file);
}

void ApiServer::stop() {
  if (tcp_listener_) tcp_listener_->stop();
  if (unix_listener_) unix_listener_->stop();
}

}  // namespace hnv
