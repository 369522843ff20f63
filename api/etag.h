// SPDX-License-Identifier: Apache-2.0
//
// Entity tags (RFC 9110 §8.8.3, §13.1). A resource's tag is the generation that last changed it:
// "17". Tags that are not ours are well-formed and match nothing.
#pragma once

#include <string>
#include <string_view>

#include "api/control.h"
#include "compartments/result.h"

namespace hnv {

[[nodiscard]] std::string etag_header(uint64_t etag);  // "17" in quotes

// The values of If-Match and If-None-Match; empty: absent. A bare 17, as in a resource's `etag`, is
// taken too.
[[nodiscard]] Result<Precondition> parse_precondition(std::string_view if_match,
                                                      std::string_view if_none_match);

enum class Match : uint8_t { go_on, not_modified, failed };
// For reads; the model decides for writes.
[[nodiscard]] Match evaluate(const Precondition& precondition, uint64_t etag);

}  // namespace hnv
