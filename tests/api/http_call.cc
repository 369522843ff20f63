// SPDX-License-Identifier: Apache-2.0
#include "tests/api/http_call.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>

namespace hnv {
namespace {

FileDescriptor connect_tcp(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  FileDescriptor fd(socket(AF_INET, SOCK_STREAM, 0));
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error("cannot connect");
  }
  return fd;
}

Reply parse(const std::string& bytes) {
  Reply reply;
  const size_t end = bytes.find("\r\n\r\n");
  if (bytes.size() < 12 || end == std::string::npos) return reply;
  reply.status = std::stoi(bytes.substr(9, 3));
  size_t at = bytes.find("\r\n") + 2;
  while (at < end) {
    const size_t line_end = bytes.find("\r\n", at);
    const size_t colon = bytes.find(": ", at);
    std::string name = bytes.substr(at, colon - at);
    std::transform(name.begin(), name.end(), name.begin(), [](char c) {
      return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    });
    reply.headers[name] = bytes.substr(colon + 2, line_end - colon - 2);
    at = line_end + 2;
  }
  reply.body = bytes.substr(end + 4);
  if (const auto length = reply.headers.find("content-length"); length != reply.headers.end()) {
    reply.body.resize(std::min(reply.body.size(), std::stoul(length->second)));
  }
  return reply;
}

Reply exchange(const FileDescriptor& fd, std::string_view bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n = send(fd.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) break;  // refused before the end: the answer says why
    sent += static_cast<size_t>(n);
  }
  shutdown(fd.get(), SHUT_WR);
  std::string received;
  std::array<char, 65536> buffer{};
  ssize_t n = 0;
  while ((n = recv(fd.get(), buffer.data(), buffer.size(), 0)) > 0) {
    received.append(buffer.data(), static_cast<size_t>(n));
  }
  return parse(received);
}

std::string request(std::string_view method, std::string_view path, std::string_view body,
                    const Headers& headers) {
  std::string text = std::string(method) + " " + std::string(path) + " HTTP/1.1\r\n";
  Headers all{{"Host", "localhost"}, {"Connection", "close"}};
  if (!body.empty()) {
    all["Content-Type"] = "application/json";
    all["Content-Length"] = std::to_string(body.size());
  }
  for (const auto& [name, value] : headers) all[name] = value;
  for (const auto& [name, value] : all) text.append(name).append(": ").append(value).append("\r\n");
  return text + "\r\n" + std::string(body);
}

std::string error_field(const Reply& reply, const char* field) {
  const Json json = reply.json();
  if (!json.is_object() || !json.contains("error")) return "no error";
  return json["error"].value(field, "");
}

}  // namespace

FileDescriptor connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM, 0));
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error("cannot connect to " + path);
  }
  return fd;
}

std::string Reply::code() const { return error_field(*this, "code"); }
std::string Reply::target() const { return error_field(*this, "target"); }

Reply call_unix(const std::string& socket_path, std::string_view method, std::string_view path,
                std::string_view body, const Headers& headers) {
  return exchange(connect_unix(socket_path), request(method, path, body, headers));
}

Reply call_tcp(uint16_t port, std::string_view method, std::string_view path, std::string_view body,
               const Headers& headers) {
  return exchange(connect_tcp(port), request(method, path, body, headers));
}

Reply send_raw(const std::string& socket_path, std::string_view bytes) {
  return exchange(connect_unix(socket_path), bytes);
}

}  // namespace hnv
