// SPDX-License-Identifier: Apache-2.0
//
// Who may call over TCP, decided before the body is read: a `Host` from the allowed list (against
// DNS rebinding), a bearer token, and for bodies `Content-Type: application/json` (against forms of
// a foreign web page). Who sends wrong tokens again and again gets 429. A Unix socket needs none of
// these: its file mode decides, and the peer's credentials are logged.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/failed_attempts.h"
#include "api/http.h"

namespace hnv {

// A secret that is compared in constant time; only its digest is kept.
class BearerToken {
 public:
  static constexpr size_t kMinLength = 16;

  explicit BearerToken(std::string_view token);
  // Reads the first line of a file. Throws std::runtime_error when it cannot be read, is shorter
  // than kMinLength, or others than owner and group may read it.
  [[nodiscard]] static BearerToken from_file(const std::string& path);
  // `authorization` is the header's value: "Bearer TOKEN".
  [[nodiscard]] bool admits(std::string_view authorization) const;

 private:
  std::array<unsigned char, 32> digest_{};
};

// What the listener knows of a request before its body.
struct RequestHead {
  std::string_view method, path;
  std::string_view host, authorization, content_type;
  std::string_view caller;  // its address
};

class TcpAdmission {
 public:
  explicit TcpAdmission(BearerToken token) : token_(token) {}

  std::vector<std::string> allowed_hosts;  // without port, compared without case
  std::optional<std::string> open_path;    // needs no token: "/metrics"

  // The answer that refuses the request; nullopt admits it. Any thread.
  [[nodiscard]] std::optional<HttpAnswer> refusal(const RequestHead& head,
                                                  FailedAttempts::Clock::time_point now);

 private:
  [[nodiscard]] std::optional<HttpAnswer> token_refusal(const RequestHead& head,
                                                        FailedAttempts::Clock::time_point now);

  BearerToken token_;
  FailedAttempts failed_attempts_;
};

// "gw.example:8443" and "[::1]:8443" without their port.
[[nodiscard]] std::string_view host_without_port(std::string_view host);

}  // namespace hnv
