// SPDX-License-Identifier: Apache-2.0
//
// A request and its answer as the routes see them: no sockets, no HTTP library. The listener
// (api/http_listener.h) makes the one and sends the other.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "api/json_decode.h"
#include "compartments/result.h"

namespace hnv {

struct HttpRequest {
  std::string method;                        // "GET", "PUT", …; HEAD arrives as GET
  std::string path;                          // percent-decoded, without the query
  std::map<std::string, std::string> query;  // the first value of each name
  std::string body;
  std::string if_match, if_none_match;  // header values; empty: absent
  std::string client_request_id;        // x-ms-client-request-id
  std::string caller;                   // for the log: peer credentials or address
};

struct HttpAnswer {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::map<std::string, std::string> headers;
};

[[nodiscard]] HttpAnswer json_answer(int status, const Json& json);
[[nodiscard]] HttpAnswer no_content();  // 204

// {"error":{"code","message","target","details":[…]}} with the status of its code.
[[nodiscard]] HttpAnswer error_answer(const Error& error);
// The same for what only HTTP knows: 401, 403, 405, 413, …; `code` as to_string(ErrorCode) words
// it.
[[nodiscard]] HttpAnswer error_answer(int status, const std::string& message);
[[nodiscard]] int http_status(ErrorCode code);

}  // namespace hnv
