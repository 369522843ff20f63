// SPDX-License-Identifier: Apache-2.0
//
// hnvctl's side of the wire: one request at a time over the Unix socket or over HTTP(S), with
// timeouts, so that a gateway that hangs does not hang the operator.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace hnv::ctl {

using Json = nlohmann::json;

struct Endpoint {
  std::string socket = "/run/hnv-gateway/api.sock";
  std::string url;         // instead of the socket: https://host:port
  std::string token_file;  // with url
  std::string ca_file;     // with https; default: the system's
  int timeout_seconds = 30;
};

// What went wrong, in words for stderr.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Nobody answered: may be different in a moment.
class Unreachable : public Failure {
 public:
  using Failure::Failure;
};

struct Response {
  std::string body;
  std::string content_type;
  [[nodiscard]] Json json() const;  // null for an empty body
};

class Client {
 public:
  explicit Client(Endpoint endpoint);

  // Throws Failure when the gateway is not reached or answers with an error.
  Response call(std::string_view method, const std::string& path, const std::string& body = {});
  Json get(const std::string& path) { return call("GET", path).json(); }

 private:
  [[noreturn]] void unreachable(std::string_view error) const;

  Endpoint endpoint_;
  std::string authorization_;
};

// "routingDomains/a", "/routingDomains/a" and "/v1/routingDomains/a" mean the same.
[[nodiscard]] std::string full_path(std::string_view path);
// The API's error in lines: "conflict: message (target)", then the details when there are several.
[[nodiscard]] std::string error_text(int status, std::string_view body);

}  // namespace hnv::ctl
