// SPDX-License-Identifier: Apache-2.0
#include "gateway/sqlite.h"

#include <cerrno>

#include <fmt/format.h>

namespace hnv {

Result<SqliteConnection> SqliteConnection::open(const std::string& path) {
  SqliteConnection connection;
  sqlite3* handle = nullptr;
  const int opened =
      sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  connection.handle_.reset(handle);
  if (opened != SQLITE_OK) return connection.failure("open " + path);
  return connection;
}

Result<void> SqliteConnection::run(const std::string& sql) {
  if (sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return failure(sql);
  }
  return {};
}

Result<int64_t> SqliteConnection::number(const std::string& sql) {
  auto query = SqliteStatement::prepare(*this, sql);
  if (!query) return tl::make_unexpected(query.error());
  int64_t found = 0;
  const bool done = query->each_row([&] {
    found = static_cast<int64_t>(query->number(0));
    return false;
  });
  if (!done) return failure(sql);
  return found;
}

tl::unexpected<Error> SqliteConnection::failure(std::string_view doing) const {
  const int code = sqlite3_errcode(handle_.get());
  const int cause = sqlite3_system_errno(handle_.get());
  const bool full =
      code == SQLITE_FULL || (code == SQLITE_IOERR && (cause == ENOSPC || cause == EDQUOT));
  return fail(full ? ErrorCode::insufficient_storage : ErrorCode::internal,
              fmt::format("{}: {}", doing, sqlite3_errmsg(handle_.get())));
}

Result<SqliteStatement> SqliteStatement::prepare(const SqliteConnection& connection,
                                                 std::string_view sql) {
  SqliteStatement statement;
  sqlite3_stmt* prepared = nullptr;
  const int done = sqlite3_prepare_v3(connection.handle(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &prepared, nullptr);
  statement.statement_.reset(prepared);
  if (done != SQLITE_OK) return connection.failure(sql);
  return statement;
}

SqliteStatement& SqliteStatement::bind(int parameter, std::string_view text) {
  sqlite3_bind_text(statement_.get(), parameter, text.data(), static_cast<int>(text.size()),
                    SQLITE_STATIC);
  return *this;
}

SqliteStatement& SqliteStatement::bind(int parameter, uint64_t number) {
  sqlite3_bind_int64(statement_.get(), parameter, static_cast<sqlite3_int64>(number));
  return *this;
}

bool SqliteStatement::run() {
  const bool done = sqlite3_step(statement_.get()) == SQLITE_DONE;
  return sqlite3_reset(statement_.get()) == SQLITE_OK && done;
}

bool SqliteStatement::each_row(const std::function<bool()>& row) {
  int step = sqlite3_step(statement_.get());
  while (step == SQLITE_ROW && row()) step = sqlite3_step(statement_.get());
  const bool done = step == SQLITE_DONE || step == SQLITE_ROW;
  return sqlite3_reset(statement_.get()) == SQLITE_OK && done;
}

std::string SqliteStatement::text(int column) const {
  const auto* text = sqlite3_column_text(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return text == nullptr
             ? std::string()
             : std::string(reinterpret_cast<const char*>(text), static_cast<size_t>(size));
}

uint64_t SqliteStatement::number(int column) const {
  return static_cast<uint64_t>(sqlite3_column_int64(statement_.get(), column));
}

}  // namespace hnv
