// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <utility>

#include <httplib.h>

#include "api/server.h"
#include "tests/api/api_fixture.h"

namespace hnv {
namespace {

constexpr const char* kToken = "a-token-of-some-length";

class Server : public ApiFixture {
 protected:
  void write_file(const std::filesystem::path& path, std::string_view text, mode_t mode) {
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
  }
  void configure_tcp() {
    write_file(folder_ / "token", std::string(kToken) + "\n", 0640);
    config_.tcp.emplace();
    config_.tcp->token_file = folder_ / "token";
  }
  void configure_tls() {
    configure_tcp();
    config_.tcp->tls_certificate_file = folder_ / "cert.pem";
    config_.tcp->tls_key_file = folder_ / "key.pem";
    const std::string make =
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout " +
        config_.tcp->tls_key_file + " -out " + config_.tcp->tls_certificate_file + " 2>/dev/null";
    ASSERT_EQ(std::system(make.c_str()), 0);  // NOLINT(cert-env33-c): a fixed command
  }
  // A caller over TLS that keeps its connection.
  std::unique_ptr<httplib::SSLClient> tls_client() {
    auto client = std::make_unique<httplib::SSLClient>("127.0.0.1", server_->tcp_port());
    client->enable_server_certificate_verification(false);
    client->set_read_timeout(60);  // under TSan on a busy machine 3 MB take their time
    client->set_default_headers({{"Authorization", std::string("Bearer ") + kToken}});
    client->set_keep_alive(true);
    return client;
  }
  std::string start_error() {
    try {
      start();
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return {};
  }
};

TEST_F(Server, SocketIsForOwnerAndGroup) {
  start();
  struct stat file {};
  ASSERT_EQ(stat(config_.socket_path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, mode_t{0660});
  server_.reset();
  EXPECT_NE(stat(config_.socket_path.c_str(), &file), 0);
}

TEST_F(Server, ReplacesASocketThatNobodyAnswersOn) {
  {  // as after kill -9: the file stays, the socket is closed
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    config_.socket_path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const FileDescriptor crashed(socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(bind(crashed.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  ASSERT_TRUE(std::filesystem::exists(config_.socket_path));
  EXPECT_EQ(call("GET", "/v1/system").status, 200);
}

TEST_F(Server, LeavesAnotherGatewaysSocketAlone) {
  start();
  EXPECT_THROW(ApiServer(control_, config_), std::runtime_error);
  EXPECT_EQ(call("GET", "/v1/system").status, 200);
}

TEST_F(Server, SaysWhatStandsInTheWay) {
  config_.socket_path = folder_ / "missing" / "api.sock";
  EXPECT_NE(start_error().find("does not exist"), std::string::npos);
  config_.socket_path = folder_ / "file";
  write_file(config_.socket_path, "x", 0600);
  EXPECT_NE(start_error().find("not a socket"), std::string::npos);
  config_.socket_path = folder_ / std::string(200, 'x');
  EXPECT_NE(start_error().find("characters"), std::string::npos);
}

TEST_F(Server, RefusesAnUnsafeTcpConfiguration) {
  configure_tcp();
  config_.tcp->token_file.clear();
  EXPECT_NE(start_error().find("tokenFile"), std::string::npos);
  configure_tcp();
  config_.tcp->address = "0.0.0.0";
  EXPECT_NE(start_error().find("tls"), std::string::npos);
  configure_tcp();
  write_file(folder_ / "token", kToken, 0644);
  EXPECT_NE(start_error().find("chmod"), std::string::npos);
  write_file(folder_ / "token", "short\n", 0600);
  EXPECT_NE(start_error().find("at least 16"), std::string::npos);
  config_.tcp->address = "gateway.example";
  EXPECT_NE(start_error().find("literal"), std::string::npos);
}

TEST_F(Server, TcpWantsTokenHostAndContentType) {
  configure_tcp();
  start();
  const std::string bearer = std::string("Bearer ") + kToken;
  const auto status = [&](std::string_view method, std::string_view path, const Headers& headers) {
    const auto reply =
        call_tcp(server_->tcp_port(), method, path, method == "PUT" ? "{}" : "", headers);
    EXPECT_TRUE(reply.status < 400 || reply.code() != "no error") << reply.body;
    return reply.status;
  };
  EXPECT_EQ(status("GET", "/v1/system", {}), 401);
  EXPECT_EQ(status("GET", "/v1/system", {{"Authorization", "Bearer x"}}), 401);
  EXPECT_EQ(status("GET", "/v1/system", {{"Authorization", std::string("Basic ") + kToken}}), 401);
  EXPECT_EQ(status("GET", "/v1/system", {{"Authorization", bearer}}), 200);
  EXPECT_EQ(status("GET", "/v1/system", {{"Authorization", bearer}, {"Host", "evil.example"}}),
            403);
  EXPECT_EQ(status("GET", "/v1/system", {{"Authorization", bearer}, {"Host", "LOCALHOST:8080"}}),
            200);
  EXPECT_EQ(status("GET", "/metrics", {}), 401);
  EXPECT_EQ(status("PUT", "/v1/routingDomains/a", {{"Authorization", bearer}}), 201);
  EXPECT_EQ(status("PUT", "/v1/routingDomains/a",
                   {{"Authorization", bearer}, {"Content-Type", "text/plain"}}),
            415);
}

TEST_F(Server, MetricsMayBeOpenedApart) {
  configure_tcp();
  config_.tcp->open_metrics = true;
  start();
  EXPECT_EQ(call_tcp(server_->tcp_port(), "GET", "/metrics").status, 200);
  EXPECT_EQ(call_tcp(server_->tcp_port(), "GET", "/v1/system").status, 401);
  EXPECT_EQ(call_tcp(server_->tcp_port(), "GET", "/metrics", "", {{"Host", "evil.example"}}).status,
            403);
}

TEST_F(Server, SlowsDownWhoGuessesTokens) {
  configure_tcp();
  config_.tcp->open_metrics = true;
  start();
  const auto get = [&](std::string_view path, const std::string& token) {
    const Headers headers =
        token.empty() ? Headers{} : Headers{{"Authorization", "Bearer " + token}};
    return call_tcp(server_->tcp_port(), "GET", path, "", headers);
  };
  for (int i = 0; i < FailedAttempts::kAttempts; ++i) {
    EXPECT_EQ(get("/v1/system", "guess-number-" + std::to_string(i)).status, 401);
  }
  for (const std::string token : {"one-guess-too-many", kToken}) {
    const Reply refused = get("/v1/system", token);
    EXPECT_EQ(refused.status, 429) << token;
    EXPECT_EQ(refused.code(), "tooManyRequests");
    const int wait = std::stoi(refused.headers.at("retry-after"));
    EXPECT_TRUE(wait >= 1 && wait <= 6) << wait;
  }
  EXPECT_EQ(get("/v1/system", "").status, 401) << "no token is no guess";
  EXPECT_EQ(get("/metrics", "").status, 200);
  EXPECT_EQ(call("GET", "/v1/system").status, 200) << "the Unix socket has no tokens";
}

TEST_F(Server, SpeaksTls) {
  configure_tcp();
  config_.tcp->tls_certificate_file = folder_ / "cert.pem";
  config_.tcp->tls_key_file = folder_ / "key.pem";
  EXPECT_NE(start_error().find("certificate"), std::string::npos);
  configure_tls();
  start();
  const auto client = tls_client();
  for (int i = 0; i < 20; ++i) {
    const auto reply = client->Get("/v1/system");
    ASSERT_TRUE(reply) << httplib::to_string(reply.error());
    EXPECT_EQ(reply->status, 200);
  }
  const std::string large = "{}" + std::string(3'000'000, ' ');
  const auto put = client->Put("/v1/routingDomains/a", large, "application/json");
  ASSERT_TRUE(put) << httplib::to_string(put.error());
  EXPECT_EQ(put->status, 201);
  client->set_default_headers({});
  const auto refused = client->Get("/v1/system");
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 401);
}

TEST_F(Server, RefusesOldTlsAndNoTls) {
  configure_tls();
  start();
  EXPECT_EQ(call_tcp(server_->tcp_port(), "GET", "/v1/system").status, 0) << "in the clear";
  const auto old = tls_client();
  SSL_CTX_set_security_level(old->ssl_context(), 0);  // or it would not even ask
  SSL_CTX_set_min_proto_version(old->ssl_context(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(old->ssl_context(), TLS1_1_VERSION);
  EXPECT_FALSE(old->Get("/v1/system"));
  const auto client = tls_client();
  SSL_CTX_set_max_proto_version(client->ssl_context(), TLS1_2_VERSION);
  EXPECT_TRUE(client->Get("/v1/system"));
}

// One thread and two places to wait: the fourth connection is refused while the first is served.
TEST_F(Server, BoundsTheConnectionsThatWait) {
  config_.threads = 1;
  config_.most_waiting = 2;
  std::promise<void> entered;
  std::promise<void> leave;
  control_.before_apply([&, first = true, go = leave.get_future().share()]() mutable {
    if (std::exchange(first, false)) entered.set_value();
    go.wait();
  });
  start();
  auto served = std::async(std::launch::async, [this] {
    return call_unix(config_.socket_path, "PUT", "/v1/routingDomains/served", "{}");
  });
  entered.get_future().wait();
  // Connections are accepted in their order, so the last one's answer says where the others are.
  std::optional<FileDescriptor> second = connect_unix(config_.socket_path);
  std::optional<FileDescriptor> third = connect_unix(config_.socket_path);
  const Reply refused = call_unix(config_.socket_path, "PUT", "/v1/routingDomains/late",
                                  "{}" + std::string(100'000, ' '));
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.code(), "unavailable");
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  second.reset();
  third.reset();
  leave.set_value();
  EXPECT_EQ(served.get().status, 201);
  EXPECT_EQ(control_.changes(), 1U);
}

// A connection that keeps its thread for nothing gives it back when another caller wants it.
TEST_F(Server, IdleConnectionsMakeRoom) {
  config_.threads = 1;
  start();
  httplib::Client idle(config_.socket_path);
  idle.set_address_family(AF_UNIX);
  idle.set_keep_alive(true);
  ASSERT_TRUE(idle.Get("/v1/system"));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(call("GET", "/v1/system").status, 200);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  EXPECT_TRUE(idle.Get("/v1/system")) << "it comes back by a new connection";
}

TEST_F(Server, BoundsTheBody) {
  config_.max_body = 1000;
  const auto large = call("PUT", "/v1/routingDomains/a", std::string(1001, ' '));
  EXPECT_EQ(large.status, 413);
  EXPECT_EQ(large.code(), "payloadTooLarge");
  EXPECT_EQ(call("PUT", "/v1/routingDomains/a", "{}" + std::string(998, ' ')).status, 201);
  // Chunked, so that the length is not known beforehand.
  const std::string head =
      "PUT /v1/routingDomains/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(send_raw(config_.socket_path, head + "2\r\n{}\r\n0\r\n\r\n").status, 201);
  const auto chunked =
      send_raw(config_.socket_path, head + "7d0\r\n" + std::string(2000, ' ') + "\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.status, 413);
}

TEST_F(Server, TakesABodyOfAnyPlainType) {  // curl -d says it is a form
  const std::string large = "{}" + std::string(100'000, ' ');
  EXPECT_EQ(call("PUT", "/v1/routingDomains/a", large,
                 {{"Content-Type", "application/x-www-form-urlencoded"}})
                .status,
            201);
  EXPECT_EQ(call("PUT", "/v1/routingDomains/a", "{}",
                 {{"Content-Type", "multipart/form-data; boundary=x"}})
                .status,
            415);
  EXPECT_EQ(call("PUT", "/v1/routingDomains/a", "{}", {{"Content-Encoding", "gzip"}}).status, 415);
}

TEST_F(Server, AnswersGarbageAndStaysAlive) {
  start();
  for (const auto* bytes : {"\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02", "GET / HTTP/9.9\r\n\r\n",
                            "PUT /v1/system HTTP/1.1\r\nContent-Length: -5\r\n\r\n"}) {
    const auto fd_reply = send_raw(config_.socket_path, std::string(bytes) + "\r\n\r\n");
    if (fd_reply.status >= 400 && !fd_reply.body.empty()) {
      EXPECT_NE(fd_reply.code(), "no error") << bytes;
    }
  }
  EXPECT_EQ(call("GET", "/v1/system").status, 200);
}

TEST_F(Server, KeepsConnectionsAlive) {
  start();
  httplib::Client client(config_.socket_path);
  client.set_address_family(AF_UNIX);
  client.set_keep_alive(true);
  for (int i = 0; i < 50; ++i) {
    const auto reply = client.Get("/v1/system");
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, 200);
  }
  const auto head = client.Head("/v1/system");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200);
}

TEST_F(Server, StopsAtOnceWithIdleConnectionsOpen) {
  start();
  httplib::Client client(config_.socket_path);
  client.set_address_family(AF_UNIX);
  client.set_keep_alive(true);
  ASSERT_TRUE(client.Get("/v1/system"));
  const auto begin = std::chrono::steady_clock::now();
  server_->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST_F(Server, StopsAtOnceWithIdleTlsConnectionsOpen) {
  configure_tls();
  start();
  const auto client = tls_client();
  ASSERT_TRUE(client->Get("/v1/system"));
  const auto begin = std::chrono::steady_clock::now();
  server_->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST_F(Server, ServesManyCallersAtOnce) {
  start();
  std::vector<std::thread> callers;
  std::atomic<int> failures = 0;
  callers.reserve(16);
  for (int c = 0; c < 16; ++c) {
    callers.emplace_back([&, c] {
      for (int i = 0; i < 20; ++i) {
        const auto path = "/v1/routingDomains/d" + std::to_string(c * 100 + i);
        if (call_unix(config_.socket_path, "PUT", path, "{}").status != 201) ++failures;
      }
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(call("GET", "/v1/routingDomains").json()["value"].size(), 320U);
}

TEST(Admission, FindsTheHostWithoutItsPort) {
  EXPECT_EQ(host_without_port("gw.example:8443"), "gw.example");
  EXPECT_EQ(host_without_port("gw.example"), "gw.example");
  EXPECT_EQ(host_without_port("[::1]:8443"), "[::1]");
  EXPECT_EQ(host_without_port("[::1]"), "[::1]");
  EXPECT_EQ(host_without_port(""), "");
}

}  // namespace
}  // namespace hnv
