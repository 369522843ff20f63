// SPDX-License-Identifier: Apache-2.0
//
// Which URL and method means what: one table, read from top to bottom, compared with
// api/openapi.yaml by a test. A segment in braces takes any text; literal segments win.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/control.h"
#include "api/http.h"

namespace hnv {

// What a handler gets: the request, the gateway, and the segments in braces in their order.
struct Call {
  const HttpRequest& request;
  Control& control;
  std::vector<std::string> parameters;
};

struct Route {
  std::string_view method;
  std::string_view pattern;
  HttpAnswer (*handler)(const Call&);
};

[[nodiscard]] std::span<const Route> api_routes();

// The answer to a request; 404 for an unknown path, 405 (with Allow) for an unknown method.
[[nodiscard]] HttpAnswer dispatch(const HttpRequest& request, Control& control);

}  // namespace hnv
