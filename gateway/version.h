// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace hnv {

inline constexpr std::string_view kVersion = HNV_VERSION;  // from CMakeLists.txt

}  // namespace hnv
