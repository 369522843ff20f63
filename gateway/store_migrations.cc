// SPDX-License-Identifier: Apache-2.0
//
// The store's schema, as the steps that made it. A step that was released never changes; a new
// version adds one, and a database of the version before it to tests/gateway/stores/.
#include "gateway/store_migrations.h"

#include <array>

#include <fmt/format.h>

#include "compartments/address.h"

namespace hnv {
namespace {

constexpr std::array<const char*, kStoreVersion> kMigrations = {
    // 1: the first.
    R"(CREATE TABLE gateway (
         id INTEGER PRIMARY KEY CHECK (id = 1),
         generation INTEGER NOT NULL,
         mac_address TEXT NOT NULL
       ) STRICT;
       CREATE TABLE resource (
         path TEXT PRIMARY KEY,
         kind TEXT NOT NULL,
         json TEXT NOT NULL,
         etag INTEGER NOT NULL
       ) STRICT, WITHOUT ROWID;
       CREATE TABLE lookup_record (
         domain TEXT NOT NULL,
         subnet TEXT NOT NULL,
         id TEXT NOT NULL,
         type TEXT NOT NULL
           CHECK (type IN ('Static', 'Dynamic', 'GatewayWildcard', 'L2Only')),
         customer_address TEXT,
         provider_address TEXT NOT NULL,
         mac_address TEXT NOT NULL,
         etag INTEGER NOT NULL,
         PRIMARY KEY (domain, subnet, id)
       ) STRICT, WITHOUT ROWID;)",
};

Result<void> check_owner(SqliteConnection& connection, const std::string& path) {
  const auto application = connection.number("PRAGMA application_id");
  if (!application) return tl::make_unexpected(application.error());
  const auto tables = connection.number("SELECT count(*) FROM sqlite_schema");
  if (!tables) return tl::make_unexpected(tables.error());
  const bool empty = *application == 0 && *tables == 0;
  if (!empty && *application != kStoreApplicationId) {
    return fail(ErrorCode::internal,
                fmt::format("{} is a database of another program: name another file", path));
  }
  return {};
}

}  // namespace

Result<void> migrate(SqliteConnection& connection, const std::string& path) {
  if (auto ours = check_owner(connection, path); !ours) return ours;
  const auto version = connection.number("PRAGMA user_version");
  if (!version) return tl::make_unexpected(version.error());
  if (*version > kStoreVersion) {
    return fail(ErrorCode::internal,
                fmt::format("{} has version {}, this program knows up to {}: it was written by a "
                            "newer hnv-gateway; start that one, or restore an older file",
                            path, *version, kStoreVersion));
  }
  for (auto step = *version; step < kStoreVersion; ++step) {
    std::string sql = fmt::format("BEGIN IMMEDIATE; {}", kMigrations.at(static_cast<size_t>(step)));
    if (step == 0) {
      sql += fmt::format("PRAGMA application_id = {}; INSERT INTO gateway VALUES (1, 0, '{}');",
                         kStoreApplicationId, MacAddress::random_local().to_string());
    }
    sql += fmt::format("PRAGMA user_version = {}; COMMIT;", step + 1);
    if (auto done = connection.run(sql); !done) {
      (void)connection.run("ROLLBACK");
      auto error = done.error();
      error.message = fmt::format("{}: cannot bring it from version {} to {}: {}", path, step,
                                  step + 1, error.message);
      return tl::make_unexpected(std::move(error));
    }
  }
  return {};
}

}  // namespace hnv
