// SPDX-License-Identifier: Apache-2.0
#include "gateway/store_sqlite.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <future>
#include <iterator>
#include <span>
#include <sys/file.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "api/resource_json.h"
#include "gateway/store_migrations.h"

namespace hnv {
namespace {

constexpr mode_t kOwnerOnly = 0600;
// How long a commit waits for another program that reads or writes the file.
constexpr int kBusyMilliseconds = 5000;

constexpr std::array<std::pair<LookupRecordType, std::string_view>, 4> kTypes{{
    {LookupRecordType::static_record, "Static"},
    {LookupRecordType::dynamic, "Dynamic"},
    {LookupRecordType::gateway_wildcard, "GatewayWildcard"},
    {LookupRecordType::l2_only, "L2Only"},
}};

std::string_view word_of(LookupRecordType type) {
  for (const auto& [value, word] : kTypes) {
    if (value == type) return word;
  }
  return {};
}

std::optional<LookupRecordType> type_of(std::string_view text) {
  for (const auto& [value, word] : kTypes) {
    if (word == text) return value;
  }
  return std::nullopt;
}

tl::unexpected<Error> system_failure(const std::string& path, std::string_view doing) {
  return fail(ErrorCode::internal, fmt::format("{}: cannot {}: {}", path, doing, strerror(errno)));
}

// Makes sure that the file is there and that only its owner may read it. SQLite gives its side
// files the same mode.
Result<void> prepare_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kOwnerOnly);
  if (fd < 0) return system_failure(path, "open the store");
  const bool done = fchmod(fd, kOwnerOnly) == 0;
  ::close(fd);
  if (!done) return system_failure(path, "set mode 0600");
  return {};
}

Result<void> make_durable(SqliteConnection& connection) {
  return connection.run(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;"
      "PRAGMA journal_size_limit = 16777216;");
}

Result<void> check_integrity(const SqliteConnection& connection, const std::string& path) {
  auto query = SqliteStatement::prepare(connection, "PRAGMA quick_check(1)");
  if (!query) return tl::make_unexpected(query.error());
  std::string verdict;
  const bool done = query->each_row([&] {
    verdict = query->text(0);
    return false;
  });
  if (!done) return connection.failure(path);
  if (verdict != "ok") {
    return fail(ErrorCode::internal,
                fmt::format("{} is damaged ({}): restore it from a backup", path, verdict));
  }
  return {};
}

tl::unexpected<Error> unreadable(const std::string& row, std::string_view why) {
  return fail(ErrorCode::internal, fmt::format("the store's row {} cannot be read: {}", row, why),
              row);
}

// ---- Reading. Half a million resources take a second to decode, which is most of a start.

constexpr size_t kRowsAtOnce = 32'768;
constexpr size_t kMaxDecoders = 4;

struct ResourceRow {
  std::string path, json;
  uint64_t etag = 0;
};

Result<Resource> decoded(const ResourceRow& row) {
  auto key = parse_resource_path(row.path);
  if (!key) return unreadable(row.path, "it is no resource's path");
  auto spec = spec_from_json(*key, row.json);
  if (!spec) {
    return unreadable(row.path, fmt::format("{} {}", spec.error().target, spec.error().message));
  }
  return Resource{std::move(*key), std::move(*spec), row.etag};
}

using Decoded = Result<std::vector<Resource>>;
Decoded decoded(std::span<const ResourceRow> rows) {
  std::vector<Resource> resources;
  resources.reserve(rows.size());
  for (const ResourceRow& row : rows) {
    auto resource = decoded(row);
    if (!resource) return tl::make_unexpected(std::move(resource).error());
    resources.push_back(std::move(*resource));
  }
  return resources;
}

// In the rows' order, whoever decoded which: a stretch of them for each processor.
Result<void> append_decoded(std::span<const ResourceRow> rows, std::vector<Resource>& out) {
  const size_t decoders = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, kMaxDecoders);
  const size_t each = rows.size() / decoders + 1;
  std::vector<std::future<Decoded>> others;
  for (size_t begin = each; begin < rows.size(); begin += each) {
    const auto stretch = rows.subspan(begin, std::min(each, rows.size() - begin));
    others.push_back(std::async(std::launch::async, [stretch] { return decoded(stretch); }));
  }
  const auto append = [&out](Decoded part) -> Result<void> {
    if (!part) return tl::make_unexpected(std::move(part).error());
    std::move(part->begin(), part->end(), std::back_inserter(out));
    return {};
  };
  Result<void> result = append(decoded(rows.first(std::min(each, rows.size()))));
  for (auto& other : others) {
    Decoded part = other.get();
    if (result) result = append(std::move(part));
  }
  return result;
}

}  // namespace

Result<SqliteStore::Lock> SqliteStore::Lock::take(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kOwnerOnly);
  if (fd < 0) return system_failure(path, "open the store's lock");
  Lock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return system_failure(path, "lock the store");
  return fail(ErrorCode::internal,
              fmt::format("{} is held by another process: another hnv-gateway uses this store; "
                          "stop it, or give this one a store of its own",
                          path));
}

SqliteStore::Lock::~Lock() {
  if (fd_ >= 0) ::close(fd_);
}

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::string& path) {
  auto lock = Lock::take(path + ".lock");
  if (!lock) return tl::make_unexpected(lock.error());
  if (auto file = prepare_file(path); !file) return tl::make_unexpected(file.error());
  auto connection = SqliteConnection::open(path);
  if (!connection) return tl::make_unexpected(connection.error());
  sqlite3_busy_timeout(connection->handle(), kBusyMilliseconds);
  if (auto whole = check_integrity(*connection, path); !whole) {
    return tl::make_unexpected(whole.error());
  }
  if (auto migrated = migrate(*connection, path); !migrated) {
    return tl::make_unexpected(migrated.error());
  }
  if (auto durable = make_durable(*connection); !durable) {
    return tl::make_unexpected(durable.error());
  }
  auto statements = prepare(*connection);
  if (!statements) return tl::make_unexpected(statements.error());
  return std::unique_ptr<SqliteStore>(
      new SqliteStore(std::move(*lock), std::move(*connection), std::move(*statements)));
}

Result<SqliteStore::Statements> SqliteStore::prepare(const SqliteConnection& connection) {
  Statements statements;
  const std::pair<SqliteStatement*, const char*> list[] = {
      {&statements.put_resource,
       "INSERT INTO resource VALUES (?1, ?2, ?3, ?4)"
       " ON CONFLICT DO UPDATE SET json = ?3, etag = ?4"},
      {&statements.delete_resource, "DELETE FROM resource WHERE path = ?1"},
      {&statements.put_record,
       "INSERT INTO lookup_record VALUES (?1, ?2, ?3, ?4, nullif(?5, ''), ?6, ?7, ?8)"
       " ON CONFLICT DO UPDATE SET type = ?4, provider_address = ?6, mac_address = ?7, etag = ?8"},
      {&statements.delete_record,
       "DELETE FROM lookup_record WHERE domain = ?1 AND subnet = ?2 AND id = ?3"},
      {&statements.set_generation, "UPDATE gateway SET generation = ?1"},
  };
  for (const auto& [statement, sql] : list) {
    auto prepared = SqliteStatement::prepare(connection, sql);
    if (!prepared) return tl::make_unexpected(prepared.error());
    *statement = std::move(*prepared);
  }
  return statements;
}

bool SqliteStore::write(const StoreWrite& row) {
  struct Write {
    Statements& statements;

    bool operator()(const PutResourceRow& r) const {
      return statements.put_resource.bind(1, r.path)
          .bind(2, r.kind)
          .bind(3, r.json)
          .bind(4, r.etag)
          .run();
    }
    bool operator()(const DeleteResourceRow& r) const {
      return statements.delete_resource.bind(1, r.path).run();
    }
    bool operator()(const PutRecordRow& r) const {
      const std::string id = to_string(r.id);
      const bool has_ca = std::holds_alternative<IpAddress<Space::customer>>(r.id);
      const std::string pa = r.record.provider_address.to_string();
      const std::string mac = r.record.mac_address.to_string();
      return statements.put_record.bind(1, r.domain)
          .bind(2, r.subnet)
          .bind(3, id)
          .bind(4, word_of(r.record.type))
          .bind(5, has_ca ? std::string_view(id) : std::string_view(""))
          .bind(6, pa)
          .bind(7, mac)
          .bind(8, r.record.etag)
          .run();
    }
    bool operator()(const DeleteRecordRow& r) const {
      const std::string id = to_string(r.id);
      return statements.delete_record.bind(1, r.domain).bind(2, r.subnet).bind(3, id).run();
    }
  };
  return std::visit(Write{statements_}, row);
}

Result<void> SqliteStore::commit(const std::vector<StoreWrite>& writes, uint64_t generation) {
  constexpr std::string_view kDoing = "cannot store the change";
  if (auto begun = connection_.run("BEGIN IMMEDIATE"); !begun) return begun;
  bool written = true;
  for (const auto& row : writes) written = written && write(row);
  written = written && statements_.set_generation.bind(1, generation).run();
  if (written) {
    if (connection_.run("COMMIT")) return {};
  }
  Result<void> failed = connection_.failure(kDoing);
  (void)connection_.run("ROLLBACK");  // fails where SQLite has rolled back by itself: fine
  return failed;
}

Result<void> SqliteStore::limit_pages(uint32_t pages) {
  return connection_.run(fmt::format("PRAGMA max_page_count = {}", pages));
}

Result<LoadedState> SqliteStore::load() {
  LoadedState state;
  auto query = SqliteStatement::prepare(connection_, "SELECT generation, mac_address FROM gateway");
  if (!query) return tl::make_unexpected(query.error());
  std::optional<MacAddress> mac;
  const bool done = query->each_row([&] {
    state.generation = query->number(0);
    mac = MacAddress::parse(query->text(1));
    return false;
  });
  if (!done) return connection_.failure("load the store");
  if (!mac) return unreadable("gateway", "it needs a generation and a MAC address");
  state.gateway_mac = *mac;
  if (auto loaded = load_resources(state); !loaded) return tl::make_unexpected(loaded.error());
  if (auto loaded = load_records(state); !loaded) return tl::make_unexpected(loaded.error());
  return state;
}

Result<void> SqliteStore::load_resources(LoadedState& state) {
  auto query = SqliteStatement::prepare(connection_, "SELECT path, json, etag FROM resource");
  if (!query) return tl::make_unexpected(query.error());
  Result<void> result;
  std::vector<ResourceRow> rows;
  const bool done = query->each_row([&] {
    rows.push_back({query->text(0), query->text(1), query->number(2)});
    if (rows.size() == kRowsAtOnce) {
      result = append_decoded(rows, state.resources);
      rows.clear();
    }
    return result.has_value();
  });
  if (!done && result) return connection_.failure("load the store");
  return result ? append_decoded(rows, state.resources) : result;
}

Result<void> SqliteStore::load_records(LoadedState& state) {
  auto query = SqliteStatement::prepare(connection_,
                                        "SELECT domain, subnet, id, type, provider_address,"
                                        " mac_address, etag FROM lookup_record");
  if (!query) return tl::make_unexpected(query.error());
  Result<void> result;
  const bool done = query->each_row([&] {
    const std::string row = fmt::format("/v1/routingDomains/{}/virtualSubnets/{}/lookupRecords/{}",
                                        query->text(0), query->text(1), query->text(2));
    const auto key = parse_resource_path(row);
    const auto type = type_of(query->text(3));
    const auto pa = IpAddress<Space::provider>::parse(query->text(4));
    const auto mac = MacAddress::parse(query->text(5));
    if (!key || !type || !pa || !mac) {
      result = unreadable(row, !key    ? "it is no record's path"
                               : !type ? "its type is unknown"
                               : !pa   ? "its provider_address is malformed"
                                       : "its mac_address is malformed");
      return false;
    }
    const auto& id = std::get<LookupRecordKey>(*key).id;
    LookupRecordSpec spec{*type, std::nullopt, *pa, *mac};
    if (const auto* ca = std::get_if<IpAddress<Space::customer>>(&id)) spec.customer_address = *ca;
    state.resources.push_back({*key, spec, query->number(6)});
    return true;
  });
  if (!done && result) return connection_.failure("load the store");
  return result;
}

}  // namespace hnv
