// SPDX-License-Identifier: Apache-2.0
#include "api/http_listener.h"

#include <array>
#include <atomic>
#include <csignal>
#include <exception>
#include <stdexcept>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>
#include <httplib.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <spdlog/spdlog.h>

#include "api/connection_pool.h"
#include "api/connection_stream.h"
#include "api/listening_socket.h"

namespace hnv {
namespace {

using std::chrono::milliseconds;

constexpr size_t kRequestsPerConnection = 1000;
constexpr milliseconds kIdle{5000};
// How long a new connection may be silent while others wait for a thread.
constexpr milliseconds kFirstRequest{1000};

using Clock = ConnectionStream::Clock;

// Set by the handlers of the request at hand, read by the connection's loop on the same thread:
// what follows on the connection may be the rest of a body that nobody read.
thread_local bool t_close_connection = false;

// What a caller is told that finds no place, as far as the socket's buffer takes it at once: the
// accepting thread waits for nobody.
void refuse(int fd) {
  std::array<char, 65536> unread{};
  // Unread bytes would make the kernel reset the connection, and the answer might be lost.
  const auto drain = [&] {
    while (recv(fd, unread.data(), unread.size(), MSG_DONTWAIT) > 0) continue;
  };
  const HttpAnswer answer =
      error_answer(503, "too many connections wait for the API; try again in a second");
  const std::string text = fmt::format(
      "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: "
      "{}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{}",
      answer.body.size(), answer.body);
  drain();
  (void)send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  shutdown(fd, SHUT_WR);
  drain();
}

struct FreeTlsContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeTlsContext>;

TlsContext tls_context(const std::string& certificate_file, const std::string& key_file) {
  TlsContext context(SSL_CTX_new(TLS_server_method()));
  const bool usable =
      context && SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) == 1 &&
      SSL_CTX_use_certificate_chain_file(context.get(), certificate_file.c_str()) == 1 &&
      SSL_CTX_use_PrivateKey_file(context.get(), key_file.c_str(), SSL_FILETYPE_PEM) == 1 &&
      SSL_CTX_check_private_key(context.get()) == 1;
  ERR_clear_error();
  if (!usable) {
    throw std::runtime_error(
        fmt::format("api: tls: {} and {} are no certificate (PEM) with its private key",
                    certificate_file, key_file));
  }
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  return context;
}

// A server that adopts a listening socket and serves each connection by ConnectionStream. Without
// a context it speaks in the clear.
class Server : public httplib::Server {
 public:
  Server(const HttpListenerOptions& options, int stop_fd, TlsContext tls)
      : stop_fd_(stop_fd), tls_(std::move(tls)) {
    new_task_queue = [this, threads = options.threads, waiting = options.most_waiting] {
      pool_ = new ConnectionPool(threads, waiting);  // the library's, until its loop ends
      return pool_;
    };
  }
  void adopt(int fd) { svr_sock_ = fd; }

 private:
  bool process_and_close_socket(socket_t fd) override {
    const FileDescriptor owner(fd);
    if (ConnectionPool::refusing()) {
      complain();
      if (!tls_) refuse(fd);  // over TLS there is no answer without a handshake
      return false;
    }
    ConnectionStream stream(fd);
    if (!tls_ || stream.start_tls(*tls_)) serve(stream);
    shutdown(fd, SHUT_WR);
    return true;
  }

  // When others wait for a thread, an idle connection is closed.
  void serve(ConnectionStream& stream) {
    const auto patience = Clock::now() + kFirstRequest;
    bool first = true;
    const auto give_up = [&] { return pool_->crowded() && (!first || Clock::now() >= patience); };
    for (size_t i = 1; stream.wait_for_request(stop_fd_, kIdle, give_up); ++i) {
      bool closed = false;
      t_close_connection = false;
      const bool last = i == kRequestsPerConnection || pool_->crowded();
      const bool served = process_request(stream, last, closed, nullptr);
      if (!served || last || closed || t_close_connection) return;
      first = false;
    }
  }

  // On the accepting thread only.
  void complain() {
    ++refused_;
    if (Clock::now() < next_complaint_) return;
    spdlog::warn("api: every thread is busy and as many connections wait as may: {} refused",
                 refused_);
    refused_ = 0;
    next_complaint_ = Clock::now() + std::chrono::seconds(1);
  }

  const int stop_fd_;
  const TlsContext tls_;
  ConnectionPool* pool_ = nullptr;
  size_t refused_ = 0;
  Clock::time_point next_complaint_;
};

void send(const HttpAnswer& answer, httplib::Response& response) {
  response.status = answer.status;
  for (const auto& [name, value] : answer.headers) response.set_header(name, value);
  if (!answer.body.empty()) response.set_content(answer.body, answer.content_type);
}

HttpRequest request_of(const httplib::Request& from) {
  HttpRequest request;
  request.method = from.method == "HEAD" ? "GET" : from.method;
  request.path = from.path;
  for (const auto& [name, value] : from.params) request.query.emplace(name, value);
  request.if_match = from.get_header_value("If-Match");
  request.if_none_match = from.get_header_value("If-None-Match");
  request.client_request_id = from.get_header_value("x-ms-client-request-id");
  request.caller = from.remote_addr;
  return request;
}

// What every request must be, whoever sends it. Forms are refused because the library would parse
// them; compressed bodies because their size is unknown until they are unpacked.
std::optional<HttpAnswer> malformed(const httplib::Request& request) {
  if (request.has_header("Content-Encoding")) {
    return error_answer(415, "compressed bodies are not taken");
  }
  if (request.is_multipart_form_data()) {
    return error_answer(415, "the body must be sent as Content-Type: application/json");
  }
  return std::nullopt;
}

// Reads the body, also a chunked one, up to the limit; nullopt after an answer was set.
std::optional<std::string> read_body(const httplib::Request& request, httplib::Response& response,
                                     const httplib::ContentReader& reader, size_t max) {
  std::string body;
  const bool chunked = request.has_header("Transfer-Encoding");
  if (!chunked && !request.has_header("Content-Length")) return body;
  if (chunked) t_close_connection = true;
  bool too_large = false;
  const bool read = reader([&](const char* bytes, size_t size) {
    too_large = body.size() + size > max;
    if (!too_large) body.append(bytes, size);
    return !too_large;
  });
  if (read) return body;
  t_close_connection = true;
  if (too_large || response.status == 413) {
    send(error_answer(413, fmt::format("a body has at most {} bytes", max)), response);
  } else {
    send(error_answer(400, "the body ended early"), response);
  }
  return std::nullopt;
}

std::string words_for(int status) {
  switch (status) {
    case 400:
      return "this is not an HTTP/1.1 request";
    case 404:
      return "there is nothing at this path";
    case 413:
      return "the body is too large";
    case 414:
      return "the URI is too long";
    default:
      return fmt::format("the request failed with status {}", status);
  }
}

// Everything goes to one handler: the routes are ours.
void install(httplib::Server& server, const HttpListenerOptions& options) {
  using httplib::ContentReader;
  using httplib::Request;
  using httplib::Response;
  server.set_pre_routing_handler([&options](const Request& request, Response& response) {
    const std::string host = request.get_header_value("Host");
    const std::string authorization = request.get_header_value("Authorization");
    const std::string type = request.get_header_value("Content-Type");
    auto refusal = malformed(request);
    if (!refusal && options.admit) {
      refusal = options.admit(
          {request.method, request.path, host, authorization, type, request.remote_addr});
    }
    if (!refusal) return httplib::Server::HandlerResponse::Unhandled;
    t_close_connection = true;  // its body is not read
    send(*refusal, response);
    return httplib::Server::HandlerResponse::Handled;
  });
  const auto plain = [&options](const Request& request, Response& response) {
    send(options.answer(request_of(request)), response);
  };
  const auto with_body = [&options](const Request& request, Response& response,
                                    const ContentReader& reader) {
    auto body = read_body(request, response, reader, options.max_body);
    if (!body) return;
    HttpRequest call = request_of(request);
    call.body = std::move(*body);
    send(options.answer(call), response);
  };
  constexpr auto* kAnything = ".*";
  server.Get(kAnything, plain).Options(kAnything, plain);
  server.Put(kAnything, with_body).Post(kAnything, with_body);
  server.Patch(kAnything, with_body).Delete(kAnything, with_body);
  server.set_error_handler([](const Request&, Response& response) {
    if (response.body.empty())
      send(error_answer(response.status, words_for(response.status)), response);
  });
  server.set_exception_handler([](const Request&, Response& response, const std::exception_ptr&) {
    send(error_answer(500, "the request failed inside the gateway"), response);
  });
  server.set_payload_max_length(options.max_body);
}

// The accepting thread around the server.
class Listener final : public HttpListener {
 public:
  Listener(int fd, HttpListenerOptions options, TlsContext tls)
      : options_(std::move(options)),
        stop_event_(eventfd(0, EFD_CLOEXEC)),
        socket_(dup(fd)),
        server_(options_, stop_event_.get(), std::move(tls)) {
    if (socket_.get() < 0 || stop_event_.get() < 0) {
      throw std::runtime_error("api: no file descriptor left for the listener");
    }
    install(server_, options_);
    thread_ = std::thread([this] { run(); });
    // stop() before this would be lost.
    while (!adopted_ || !server_.is_running()) std::this_thread::yield();
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  Listener(Listener&&) = delete;
  Listener& operator=(Listener&&) = delete;
  ~Listener() override { stop(); }

  void stop() override {
    if (!thread_.joinable() || !adopted_) return;
    stopping_ = true;
    (void)eventfd_write(stop_event_.get(), 1);
    shutdown(socket_.get(), SHUT_RDWR);  // wakes accept()
    server_.stop();
    thread_.join();
  }

 private:
  // The library leaves its loop when accept() fails, e.g. because a caller went away early; only
  // stop() may end it here.
  void run() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals belong to the main thread
    while (!stopping_) {
      server_.adopt(dup(socket_.get()));
      adopted_ = true;
      (void)server_.listen_after_bind();
      if (stopping_) break;
      spdlog::warn("api: accepting a connection failed; listening again");
      std::this_thread::sleep_for(milliseconds(100));
    }
  }

  HttpListenerOptions options_;
  FileDescriptor stop_event_;
  FileDescriptor socket_;
  Server server_;
  std::atomic<bool> stopping_ = false;
  // Orders what the thread made before what stop() closes, since the library does so out of sight.
  std::atomic<bool> adopted_ = false;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<HttpListener> serve_http(int fd, HttpListenerOptions options) {
  return std::make_unique<Listener>(fd, std::move(options), nullptr);
}

std::unique_ptr<HttpListener> serve_https(int fd, HttpListenerOptions options,
                                          const std::string& certificate_file,
                                          const std::string& key_file) {
  return std::make_unique<Listener>(fd, std::move(options),
                                    tls_context(certificate_file, key_file));
}

}  // namespace hnv
