// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 on a listening socket, by cpp-httplib, whose header only http_listener.cc and what it is
// made of see. A bounded pool of threads serves the connections, a bounded number waits for them;
// who finds no place is answered 503 at once (over TLS: closed before the handshake). An idle
// connection gives its thread back after five seconds, or as soon as others wait. Every answer is
// JSON, also those that the library makes itself (404, 413, …).
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "api/admission.h"
#include "api/http.h"

namespace hnv {

struct HttpListenerOptions {
  size_t max_body = 64 << 20;
  size_t threads = 8;
  size_t most_waiting = 256;  // connections
  // Runs before a body is read; an answer refuses the request.
  std::function<std::optional<HttpAnswer>(const RequestHead&)> admit;
  std::function<HttpAnswer(const HttpRequest&)> answer;
};

// Serves from construction to stop() or destruction. stop() waits for requests that are being
// answered and closes idle connections at once.
class HttpListener {
 public:
  HttpListener() = default;
  HttpListener(const HttpListener&) = delete;
  HttpListener& operator=(const HttpListener&) = delete;
  HttpListener(HttpListener&&) = delete;
  HttpListener& operator=(HttpListener&&) = delete;
  virtual ~HttpListener() = default;
  virtual void stop() = 0;
};

// `fd` is duplicated; the caller keeps its own.
[[nodiscard]] std::unique_ptr<HttpListener> serve_http(int fd, HttpListenerOptions options);
// The same over TLS 1.2 or 1.3. Throws std::runtime_error when certificate or key cannot be used.
[[nodiscard]] std::unique_ptr<HttpListener> serve_https(int fd, HttpListenerOptions options,
                                                        const std::string& certificate_file,
                                                        const std::string& key_file);

}  // namespace hnv
