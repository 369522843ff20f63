// SPDX-License-Identifier: Apache-2.0
//
// The API without a gateway, for tests in Python: `fake_gateway routes` prints the route table,
// `fake_gateway serve SOCKET` answers from a FakeControl until stdin ends.
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
      if (!route.method.empty()) fmt::print("{} {}\n", route.method, route.pattern);
    }
    return 0;
  }
  if (verb != "serve" || argc != 3) {
    fmt::print(stderr, "usage: fake_gateway routes | serve SOCKET\n");
    return 2;
  }
  hnv::FakeControl control;
  hnv::ApiConfig config;
  config.socket_path = argv[2];
  hnv::ApiServer server(control, config);
  fmt::print("ready\n");
  std::fflush(stdout);
  (void)std::string(std::istreambuf_iterator<char>(std::cin), {});
  return 0;
}
