// SPDX-License-Identifier: Apache-2.0
#include "api/hnvctl/client.h"

#include <cerrno>
#include <chrono>
#include <fstream>
#include <regex>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>
#include <httplib.h>

namespace hnv::ctl {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  if (!std::getline(in, line)) throw Failure(fmt::format("cannot read the token file {}", path));
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
  return line;
}

std::string line_of(const Json& fault) {
  const std::string target = fault.value("target", "");
  return fmt::format("{}: {}{}", fault.value("code", "error"), fault.value("message", ""),
                     target.empty() ? "" : fmt::format(" ({})", target));
}

// A token goes over a network under TLS or not at all.
void check_url(const std::string& url) {
  static const std::regex kUrl(
      R"((https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?/?)");
  static const std::regex kLoopback(R"(localhost|127\.[0-9.]+|\[::1\])", std::regex::icase);
  std::smatch parts;
  if (!std::regex_match(url, parts, kUrl)) {
    throw Failure(fmt::format("--url {}: must be like https://gateway.example:8443", url));
  }
  if (parts[1] == "http" && !std::regex_match(parts[2].str(), kLoopback)) {
    throw Failure(fmt::format("--url {}: only loopback is spoken to in the clear; say https://{}",
                              url,
                              std::string_view(url).substr(std::string_view("http://").size())));
  }
}

std::string words_for(httplib::Error error, const Endpoint& endpoint,
                      std::chrono::steady_clock::duration waited) {
  switch (error) {
    case httplib::Error::Connection:
      return "nobody answers there";
    case httplib::Error::Read:
      if (waited >= std::chrono::seconds(endpoint.timeout_seconds)) {
        return fmt::format("no answer within {} seconds", endpoint.timeout_seconds);
      }
      return "the connection was closed without an answer (busy, or not what it is taken for)";
    case httplib::Error::SSLConnection:
      return "no TLS handshake";
    case httplib::Error::SSLLoadingCerts:
      return fmt::format("no certificates (PEM) in {}", endpoint.ca_file);
    case httplib::Error::SSLServerVerification:
      return "its certificate is not trusted, or for another name (--ca-file names what to trust)";
    default:
      return httplib::to_string(error);
  }
}

}  // namespace

Json Response::json() const {
  if (body.empty()) return nullptr;
  Json json = Json::parse(body, nullptr, false);
  if (json.is_discarded()) throw Failure("the answer is not JSON: is this an hnv-gateway?");
  return json;
}

std::string full_path(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  if (path == "metrics" || path.starts_with("v1/")) return fmt::format("/{}", path);
  return fmt::format("/v1/{}", path);
}

std::string error_text(int status, std::string_view body) {
  const Json json = Json::parse(body, nullptr, false);
  if (!json.is_object() || !json.contains("error") || !json["error"].is_object()) {
    return fmt::format("the gateway answered with status {}", status);
  }
  const Json& error = json["error"];
  std::string text = line_of(error);
  const Json details = error.value("details", Json::array());
  if (details.size() > 1) {
    for (const auto& detail : details) text += "\n  " + line_of(detail);
  }
  return text;
}

Client::Client(Endpoint endpoint) : endpoint_(std::move(endpoint)) {
  if (!endpoint_.url.empty()) check_url(endpoint_.url);
  if (!endpoint_.ca_file.empty() && access(endpoint_.ca_file.c_str(), R_OK) != 0) {
    throw Failure(fmt::format("cannot read the certificates {}", endpoint_.ca_file));
  }
  if (!endpoint_.token_file.empty()) {
    authorization_ = "Bearer " + first_line(endpoint_.token_file);
  }
}

void Client::unreachable(std::string_view error) const {
  if (!endpoint_.url.empty()) {
    throw Unreachable(fmt::format(
        "{}: {}; check the address, and that the gateway's api.tcp is configured for it",
        endpoint_.url, error));
  }
  if (access(endpoint_.socket.c_str(), W_OK) != 0 && errno == EACCES) {
    throw Failure(fmt::format(
        "{}: permission denied; become root or a member of the socket's group", endpoint_.socket));
  }
  throw Unreachable(fmt::format(
      "the gateway is not running: nobody answers on {} ({}).\nStart it (systemctl start "
      "hnv-gateway, or hnv-gateway --config FILE), or name its socket with --socket or "
      "HNV_SOCKET.",
      endpoint_.socket, error));
}

Response Client::call(std::string_view method, const std::string& path, const std::string& body) {
  const bool local = endpoint_.url.empty();
  httplib::Client client(local ? endpoint_.socket : endpoint_.url);
  if (local) client.set_address_family(AF_UNIX);
  if (!endpoint_.ca_file.empty()) client.set_ca_cert_path(endpoint_.ca_file.c_str());
  client.set_connection_timeout(5);
  client.set_read_timeout(endpoint_.timeout_seconds);
  client.set_write_timeout(endpoint_.timeout_seconds);

  httplib::Request request;
  request.method = method;
  request.path = path;
  if (local) request.set_header("Host", "localhost");
  if (!authorization_.empty()) request.set_header("Authorization", authorization_);
  if (!body.empty()) request.set_header("Content-Type", "application/json");
  request.body = body;
  const auto begin = std::chrono::steady_clock::now();
  const auto result = client.send(request);
  if (!result) {
    const auto waited = std::chrono::steady_clock::now() - begin;
    unreachable(words_for(result.error(), endpoint_, waited));
  }
  if (result->status >= 400) throw Failure(error_text(result->status, result->body));
  return {result->body, result->get_header_value("Content-Type")};
}

}  // namespace hnv::ctl
