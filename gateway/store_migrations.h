// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "gateway/sqlite.h"

namespace hnv {

inline constexpr int64_t kStoreVersion = 1;
// PRAGMA application_id, "HNVG": what tells our files from any other SQLite file.
inline constexpr int64_t kStoreApplicationId = 0x484e5647;

// Brings a file to kStoreVersion, each step in one transaction. Refuses a file that is newer or is
// not a store of ours.
[[nodiscard]] Result<void> migrate(SqliteConnection& connection, const std::string& path);

}  // namespace hnv
