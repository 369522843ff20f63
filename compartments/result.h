// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

namespace hnv {

// What kind of fault an Error is. The API maps each kind to one HTTP status; the text of a kind
// (to_string) is the `code` an operator sees.
enum class ErrorCode : uint8_t {
  invalid_value,         // 400: not JSON, wrong type, out of range, malformed address
  unknown_property,      // 400
  not_found,             // 404
  conflict,              // 409: clashes with another resource, or the resource is in use
  immutable,             // 409: the property cannot change after creation
  precondition_failed,   // 412
  unfit,                 // 422: refers to something that exists but does not fit, or does not exist
  not_supported,         // 422: part of the API's design, not built yet
  limit_reached,         // 422: a configured limit of the domain
  internal,              // 500
  unavailable,           // 503: shutting down
  insufficient_storage,  // 507: the disk is full; nothing was changed
};

[[nodiscard]] std::string_view to_string(ErrorCode code);

struct ErrorDetail {
  ErrorCode code = ErrorCode::invalid_value;
  std::string message;  // what was wrong and what would be right
  std::string target;   // JSON pointer into the body, or a resource path
};

// What was wrong, where, and what would be right. `details` lists every fault of a body when there
// are several; the head then repeats the first.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;
  std::string target;
  std::vector<ErrorDetail> details;
};

template <class T>
using Result = tl::expected<T, Error>;

[[nodiscard]] inline tl::unexpected<Error> fail(ErrorCode code, std::string message,
                                                std::string target = {}) {
  return tl::make_unexpected(Error{code, std::move(message), std::move(target), {}});
}

}  // namespace hnv
