// SPDX-License-Identifier: Apache-2.0
#include "api/http.h"

#include <utility>

namespace hnv {
namespace {

constexpr std::pair<int, std::string_view> kHttpCodes[] = {
    {400, "invalidValue"},     {401, "unauthorized"},
    {403, "forbidden"},        {404, "notFound"},
    {405, "methodNotAllowed"}, {409, "conflict"},
    {411, "lengthRequired"},   {413, "payloadTooLarge"},
    {414, "uriTooLong"},       {415, "unsupportedMediaType"},
    {429, "tooManyRequests"},  {500, "internal"},
    {503, "unavailable"},
};

Json error_json(std::string_view code, const std::string& message, const std::string& target,
                Json details) {
  return {{"error",
           {{"code", code},
            {"message", message},
            {"target", target},
            {"details", std::move(details)}}}};
}

}  // namespace

HttpAnswer json_answer(int status, const Json& json) {
  HttpAnswer answer;
  answer.status = status;
  answer.body = dump_json(json) + "\n";
  return answer;
}

HttpAnswer no_content() {
  HttpAnswer answer;
  answer.status = 204;
  return answer;
}

int http_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_value:
    case ErrorCode::unknown_property:
      return 400;
    case ErrorCode::not_found:
      return 404;
    case ErrorCode::conflict:
    case ErrorCode::immutable:
      return 409;
    case ErrorCode::precondition_failed:
      return 412;
    case ErrorCode::unfit:
    case ErrorCode::not_supported:
    case ErrorCode::limit_reached:
      return 422;
    case ErrorCode::internal:
      return 500;
    case ErrorCode::unavailable:
      return 503;
    case ErrorCode::insufficient_storage:
      return 507;
  }
  return 500;
}

HttpAnswer error_answer(const Error& error) {
  Json details = Json::array();
  for (const auto& detail : error.details) {
    details.push_back(
        {{"code", to_string(detail.code)}, {"message", detail.message}, {"target", detail.target}});
  }
  return json_answer(http_status(error.code), error_json(to_string(error.code), error.message,
                                                         error.target, std::move(details)));
}

HttpAnswer error_answer(int status, const std::string& message) {
  std::string_view code = status < 500 ? "invalidRequest" : "internal";
  for (const auto& [known, word] : kHttpCodes) {
    if (known == status) code = word;
  }
  return json_answer(status, error_json(code, message, "", Json::array()));
}

}  // namespace hnv
