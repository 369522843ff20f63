// SPDX-License-Identifier: Apache-2.0
//
// The API without a gateway, for tests in Python: `fake_gateway routes` prints the route table,
// `fake_gateway serve SOCKET [TOKEN_FILE [CERTIFICATE KEY]]` answers from a FakeControl until stdin
// ends; with a token file also on a TCP port of 127.0.0.1, whose number it says.
#include <iostream>
#include <iterator>

#include <fmt/format.h>

#include "api/routes.h"
#include "api/server.h"
#include "tests/api/fake_control.h"

int main(int argc, char** argv) {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "routes") {
    for (const auto& route : hnv::api_routes()) {
      fmt::print("{} {}\n", route.method, route.pattern);
    }
    return 0;
  }
  if (verb != "serve" || argc < 3 || argc > 6) {
    fmt::print(stderr,
               "usage: fake_gateway routes | serve SOCKET [TOKEN_FILE [CERTIFICATE KEY]]\n");
    return 2;
  }
  hnv::FakeControl control;
  control.have_sessions("contoso", 5);
  hnv::ApiConfig config;
  config.socket_path = argv[2];
  if (argc > 3) config.tcp.emplace().token_file = argv[3];
  if (argc > 5) {
    config.tcp->tls_certificate_file = argv[4];
    config.tcp->tls_key_file = argv[5];
  }
  hnv::ApiServer server(control, config);
  fmt::print("ready {}\n", server.tcp_port());
  std::fflush(stdout);
  (void)std::string(std::istreambuf_iterator<char>(std::cin), {});
  return 0;
}
