// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/sqlite.h"
#include "gateway/store.h"

namespace hnv {

// The store in one SQLite file (WAL, synchronous=FULL): a commit is on the disk when it returns.
//
//   gateway        one row: generation, MAC address of the gateway in virtual subnets
//   resource       one row a resource: path, kind, JSON, etag
//   lookup_record  one row a record: typed, because there are many and they change often
//
// The file has mode 0600 and belongs to one process: FILE.lock beside it is held with flock. (Not
// the file itself: closing any descriptor of it would drop SQLite's own locks.) Other programs may
// read the file meanwhile.
//
// PRAGMA user_version says how many of the migrations (gateway/store_migrations.cc) it has had; a
// newer file than this program knows is refused, never guessed at.
class SqliteStore final : public Store {
 public:
  // Makes the file when it is missing. Errors are meant for the operator who starts the gateway.
  [[nodiscard]] static Result<std::unique_ptr<SqliteStore>> open(const std::string& path);

  [[nodiscard]] Result<LoadedState> load() override;
  [[nodiscard]] Result<void> commit(const std::vector<StoreWrite>& writes,
                                    uint64_t generation) override;

  // For tests of a full disk: the file may not grow beyond this many pages.
  [[nodiscard]] Result<void> limit_pages(uint32_t pages);

 private:
  // Holds the flock; the kernel lets go when the process ends, however it ends.
  class Lock {
   public:
    [[nodiscard]] static Result<Lock> take(const std::string& path);
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    Lock(Lock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Lock& operator=(Lock&&) = delete;
    ~Lock();

   private:
    explicit Lock(int fd) : fd_(fd) {}
    int fd_;
  };
  struct Statements {
    SqliteStatement put_resource, delete_resource, put_record, delete_record, set_generation;
  };

  SqliteStore(Lock lock, SqliteConnection connection, Statements statements)
      : lock_(std::move(lock)),
        connection_(std::move(connection)),
        statements_(std::move(statements)) {}

  [[nodiscard]] static Result<Statements> prepare(const SqliteConnection& connection);
  [[nodiscard]] bool write(const StoreWrite& row);
  [[nodiscard]] Result<void> load_resources(LoadedState& state);
  [[nodiscard]] Result<void> load_records(LoadedState& state);

  Lock lock_;
  SqliteConnection connection_;
  Statements statements_;
};

}  // namespace hnv
