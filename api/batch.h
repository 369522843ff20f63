// SPDX-License-Identifier: Apache-2.0
//
// Many operations, one Change: all of them or none, one commit, one publish. POST /v1/batch takes a
// list of {method, path, ifMatch, ifNoneMatch, body}; the answer is a list of {status, path, etag,
// body} in the same order. An error's target begins with the operation's index: "/3/body/port".
#pragma once

#include "api/routes.h"

namespace hnv {

inline constexpr size_t kMaxOperations = 10'000;

HttpAnswer post_batch(const Call& call);

// The model names places in one operation's body ("/port"). Puts them where that body stands in the
// request ("/3/body/port"); resource paths stay.
[[nodiscard]] Error placed(ChangeError error, std::string_view body_property);
[[nodiscard]] int status_of(Outcome outcome);

}  // namespace hnv
