// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

namespace hnv {

// Enumerators as JSON names them, for reading and writing.
template <class E, size_t N>
using Names = std::array<std::pair<std::string_view, E>, N>;

}  // namespace hnv
