// SPDX-License-Identifier: Apache-2.0
#include "api/admission.h"

#include <algorithm>
#include <fstream>
#include <stdexcept>
#include <strings.h>
#include <sys/stat.h>

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <spdlog/spdlog.h>

namespace hnv {
namespace {

std::array<unsigned char, 32> digest_of(std::string_view text) {
  std::array<unsigned char, 32> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return digest;
}

bool same_without_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

BearerToken::BearerToken(std::string_view token) : digest_(digest_of(token)) {}

BearerToken BearerToken::from_file(const std::string& path) {
  struct stat file {};
  std::ifstream in(path);
  std::string token;
  if (stat(path.c_str(), &file) != 0 || !std::getline(in, token)) {
    throw std::runtime_error(fmt::format("api: tokenFile {}: cannot be read", path));
  }
  if ((file.st_mode & S_IRWXO) != 0) {
    throw std::runtime_error(
        fmt::format("api: tokenFile {}: open to everybody; chmod 0640 it", path));
  }
  while (!token.empty() && (token.back() == '\r' || token.back() == ' ')) token.pop_back();
  if (token.size() < kMinLength) {
    throw std::runtime_error(
        fmt::format("api: tokenFile {}: its first line must hold a token of at least {} characters",
                    path, kMinLength));
  }
  return BearerToken(token);
}

bool BearerToken::admits(std::string_view authorization) const {
  constexpr std::string_view kScheme = "Bearer ";
  if (!same_without_case(authorization.substr(0, kScheme.size()), kScheme)) return false;
  // Digests have one length, so that the comparison tells nothing of the token's.
  const auto given = digest_of(authorization.substr(kScheme.size()));
  return CRYPTO_memcmp(given.data(), digest_.data(), digest_.size()) == 0;
}

std::string_view host_without_port(std::string_view host) {
  const size_t bracket = host.rfind(']');
  const size_t colon = host.rfind(':');
  if (colon == std::string_view::npos) return host;
  if (bracket != std::string_view::npos && colon < bracket) return host;
  return host.substr(0, colon);
}

std::optional<HttpAnswer> TcpAdmission::token_refusal(const RequestHead& head,
                                                      FailedAttempts::Clock::time_point now) {
  HttpAnswer unauthorized =
      error_answer(401, "a bearer token is required (Authorization: Bearer …)");
  unauthorized.headers["WWW-Authenticate"] = "Bearer";
  if (head.authorization.empty()) return unauthorized;  // no guess
  if (const auto wait = failed_attempts_.wait_of(head.caller, now); wait.count() > 0) {
    HttpAnswer answer = error_answer(
        429, fmt::format("too many wrong bearer tokens came from {}; try again in {} seconds",
                         head.caller, wait.count()));
    answer.headers["Retry-After"] = std::to_string(wait.count());
    return answer;
  }
  if (token_.admits(head.authorization)) return std::nullopt;
  failed_attempts_.failed(head.caller, now);
  if (failed_attempts_.wait_of(head.caller, now).count() > 0) {
    spdlog::warn("api: {} has sent too many wrong bearer tokens and is refused for a while",
                 head.caller);
  }
  return unauthorized;
}

std::optional<HttpAnswer> TcpAdmission::refusal(const RequestHead& head,
                                                FailedAttempts::Clock::time_point now) {
  const auto host = host_without_port(head.host);
  const bool known =
      std::any_of(allowed_hosts.begin(), allowed_hosts.end(),
                  [&](const auto& allowed) { return same_without_case(allowed, host); });
  if (!known) return error_answer(403, "this Host is not in the list of allowed hosts");
  const bool open = head.method == "GET" && open_path && head.path == *open_path;
  if (!open) {
    if (auto refusal = token_refusal(head, now)) return refusal;
  }
  const bool has_body = head.method == "PUT" || head.method == "POST" || head.method == "PATCH";
  const auto type = head.content_type.substr(0, head.content_type.find(';'));
  if (has_body && !same_without_case(type, "application/json")) {
    return error_answer(415, "the body must be sent as Content-Type: application/json");
  }
  return std::nullopt;
}

}  // namespace hnv
