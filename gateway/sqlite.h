// SPDX-License-Identifier: Apache-2.0
//
// SQLite's C interface with owners: a connection, and statements that are prepared once and run
// many times. Nothing here knows what is stored.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <sqlite3.h>

#include "compartments/result.h"

namespace hnv {

// One thread at a time.
class SqliteConnection {
 public:
  // Opens an existing file for reading and writing.
  [[nodiscard]] static Result<SqliteConnection> open(const std::string& path);

  // Runs statements that give no rows, separated by semicolons.
  [[nodiscard]] Result<void> run(const std::string& sql);
  // The one number that a query gives.
  [[nodiscard]] Result<int64_t> number(const std::string& sql);

  // What the last failed call on this connection means: insufficient_storage when the disk (or the
  // quota) is full, else internal.
  [[nodiscard]] tl::unexpected<Error> failure(std::string_view doing) const;

  [[nodiscard]] sqlite3* handle() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };
  std::unique_ptr<sqlite3, Close> handle_;
};

// A prepared statement. Must not outlive its connection.
class SqliteStatement {
 public:
  [[nodiscard]] static Result<SqliteStatement> prepare(const SqliteConnection& connection,
                                                       std::string_view sql);

  // Parameters count from 1. `text` must live until the statement has run.
  SqliteStatement& bind(int parameter, std::string_view text);
  SqliteStatement& bind(int parameter, uint64_t number);
  // Runs a statement that gives no rows. False on failure: ask the connection why.
  [[nodiscard]] bool run();
  // Runs a query; `row` reads the columns (from 0) and says whether to go on.
  [[nodiscard]] bool each_row(const std::function<bool()>& row);

  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] uint64_t number(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

}  // namespace hnv
