// SPDX-License-Identifier: Apache-2.0
//
// One request over a real socket, byte by byte as the test says, so that tests can also be wrong in
// ways that no HTTP library allows.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "api/json_decode.h"
#include "api/listening_socket.h"

namespace hnv {

[[nodiscard]] FileDescriptor connect_unix(const std::string& path);

struct Reply {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;

  [[nodiscard]] Json json() const { return Json::parse(body, nullptr, false); }
  [[nodiscard]] std::string code() const;    // of the error
  [[nodiscard]] std::string target() const;  // of the error
};

using Headers = std::map<std::string, std::string>;

// "METHOD path" on a fresh connection; Connection: close.
Reply call_unix(const std::string& socket_path, std::string_view method, std::string_view path,
                std::string_view body = {}, const Headers& headers = {});
Reply call_tcp(uint16_t port, std::string_view method, std::string_view path,
               std::string_view body = {}, const Headers& headers = {});
// Sends these bytes and reads to the end; the first reply in what came back.
Reply send_raw(const std::string& socket_path, std::string_view bytes);

}  // namespace hnv
