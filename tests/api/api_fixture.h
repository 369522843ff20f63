// SPDX-License-Identifier: Apache-2.0
//
// The API over a FakeControl on a real Unix socket in a folder of its own.
#pragma once

#include <filesystem>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

#include "api/server.h"
#include "tests/api/fake_control.h"
#include "tests/api/http_call.h"

namespace hnv {

class ApiFixture : public testing::Test {
 public:
  ApiFixture(const ApiFixture&) = delete;
  ApiFixture& operator=(const ApiFixture&) = delete;
  ApiFixture(ApiFixture&&) = delete;
  ApiFixture& operator=(ApiFixture&&) = delete;
  ~ApiFixture() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

 protected:
  ApiFixture() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hnv-api-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    folder_ = pattern;
    config_.socket_path = folder_ / "api.sock";
  }
  void start() { server_ = std::make_unique<ApiServer>(control_, config_); }

  Reply call(std::string_view method, std::string_view path, std::string_view body = {},
             const Headers& headers = {}) {
    if (!server_) start();
    return call_unix(config_.socket_path, method, path, body, headers);
  }
  // A domain "contoso" with a subnet "web".
  void create_subnet() {
    ASSERT_EQ(call("PUT", "/v1/routingDomains/contoso", "{}").status, 201);
    ASSERT_EQ(
        call("PUT", kSubnet, R"({"addressPrefixes":["10.0.0.0/24"],"providerNetwork":"fabric"})")
            .status,
        201);
  }

  static constexpr std::string_view kSubnet = "/v1/routingDomains/contoso/virtualSubnets/web";
  static constexpr std::string_view kRecords =
      "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords";

  std::filesystem::path folder_;
  ApiConfig config_;
  FakeControl control_;
  std::unique_ptr<ApiServer> server_;
};

}  // namespace hnv
