// SPDX-License-Identifier: Apache-2.0
#include "api/service.h"

#include <chrono>
#include <exception>

#include <spdlog/spdlog.h>

#include "api/routes.h"

namespace hnv {

HttpAnswer ApiService::answer(const HttpRequest& request) {
  const auto begin = ReplayCache::Clock::now();
  const bool changes = request.method != "GET";
  HttpAnswer answer = changes && !request.client_request_id.empty()
                          ? replays_.answer(request, begin, [&] { return route(request); })
                          : route(request);
  const std::chrono::duration<double, std::milli> took = ReplayCache::Clock::now() - begin;
  // The path is the caller's text: as a JSON string it cannot forge a line of the log.
  spdlog::log(changes || answer.status >= 500 ? spdlog::level::info : spdlog::level::debug,
              "api: {} {} {} in {:.1f} ms for {}", request.method, dump_json(request.path),
              answer.status, took.count(), request.caller);
  return answer;
}

HttpAnswer ApiService::route(const HttpRequest& request) {
  try {
    return dispatch(request, control_);
  } catch (const std::exception& e) {
    spdlog::error("api: {} {}: {}", request.method, dump_json(request.path), e.what());
    return error_answer(500, "the request failed inside the gateway; its log says why");
  }
}

}  // namespace hnv
