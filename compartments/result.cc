// SPDX-License-Identifier: Apache-2.0
#include "compartments/result.h"

namespace hnv {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_value:
      return "invalidValue";
    case ErrorCode::unknown_property:
      return "unknownProperty";
    case ErrorCode::not_found:
      return "notFound";
    case ErrorCode::conflict:
      return "conflict";
    case ErrorCode::immutable:
      return "immutable";
    case ErrorCode::precondition_failed:
      return "preconditionFailed";
    case ErrorCode::unfit:
      return "unfit";
    case ErrorCode::not_supported:
      return "notSupported";
    case ErrorCode::limit_reached:
      return "limitReached";
    case ErrorCode::internal:
      return "internal";
    case ErrorCode::unavailable:
      return "unavailable";
    case ErrorCode::insufficient_storage:
      return "insufficientStorage";
  }
  return "internal";
}

}  // namespace hnv
