// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace hnv {

// The project's version, from CMakeLists.txt: "0.1.0".
[[nodiscard]] std::string_view version();

}  // namespace hnv
