// SPDX-License-Identifier: Apache-2.0
#include "gateway/nat_state_file.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace hnv {
namespace {

constexpr std::array<char, 8> kMagic = {'H', 'N', 'V', 'N', 'A', 'T', '0', '1'};
constexpr size_t kAtOnce = 4096;

struct Header {
  std::array<char, 8> magic{};
  uint64_t saved_at = 0;  // milliseconds since 1970
  uint32_t domains = 0;
  uint32_t bytes_a_session = 0;
  uint64_t sessions = 0;
};
// A session as NatSession has it, but for a domain's number in the file, and ages in ticks.
struct Row {
  NatSession session{};
};

uint64_t wall_milliseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

struct Close {
  void operator()(std::FILE* file) const { (void)std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

tl::unexpected<Error> failed(const std::string& what, const std::string& path) {
  return fail(ErrorCode::invalid_value, fmt::format("{} {}: {}", what, path, std::strerror(errno)),
              path);
}

template <class T>
bool put(std::FILE* file, const T& value) {
  return std::fwrite(&value, sizeof value, 1, file) == 1;
}
template <class T>
bool get(std::FILE* file, T& value) {
  return std::fread(&value, sizeof value, 1, file) == 1;
}

bool put_name(std::FILE* file, const std::string& name) {
  const auto length = static_cast<uint16_t>(name.size());
  return put(file, length) && std::fwrite(name.data(), 1, length, file) == length;
}
bool get_name(std::FILE* file, std::string& name) {
  uint16_t length = 0;
  if (!get(file, length)) return false;
  name.resize(length);
  return std::fread(name.data(), 1, length, file) == length;
}

// All of a table's sessions, one by one, while `visit` says to go on.
template <class Visit>
bool for_each(NatTable& table, Visit visit) {
  for (uint32_t place = 0; place < table.places(); ++place) {
    if (table.at(place).used() && !visit(table.at(place))) return false;
  }
  return true;
}

bool write_all(std::FILE* file, const NatPlan& plan, const std::vector<NatTable*>& tables,
               Instant now, uint64_t& written) {
  std::map<uint32_t, uint32_t> numbers;
  std::vector<std::string> names;
  for (size_t i = 0; i < plan.rules.size(); ++i) {
    if (plan.rules[i] == nullptr || !plan.rules[i]->enabled) continue;
    numbers.emplace(static_cast<uint32_t>(i), static_cast<uint32_t>(names.size()));
    names.push_back(plan.rules[i]->domain);
  }
  for (NatTable* table : tables) {
    (void)for_each(*table, [&](const NatSession& session) {
      written += numbers.contains(session.compartment) ? 1 : 0;
      return true;
    });
  }
  bool good = put(file, Header{.magic = kMagic,
                               .saved_at = wall_milliseconds(),
                               .domains = static_cast<uint32_t>(names.size()),
                               .bytes_a_session = sizeof(Row),
                               .sessions = written});
  for (const std::string& name : names) good = good && put_name(file, name);
  for (NatTable* table : tables) {
    good = good && for_each(*table, [&](const NatSession& session) {
             const auto number = numbers.find(session.compartment);
             if (number == numbers.end()) return true;
             Row row{session};
             row.session.compartment = number->second;
             row.session.last_used = nat_tick(now) - session.last_used;
             row.session.started = nat_tick(now) - session.started;
             row.session.by_remote = 0;
             return put(file, row);
           });
  }
  return good && std::fflush(file) == 0 && fsync(fileno(file)) == 0;
}

// What may stand in a file that anybody could have written to.
bool sound(const NatSession& s) {
  const bool protocol = s.protocol == wire::ip_protocol::kTcp ||
                        s.protocol == wire::ip_protocol::kUdp ||
                        s.protocol == wire::ip_protocol::kIcmp;
  return protocol && s.used() && s.inside_port.raw() != 0 && s.outside_port.raw() != 0;
}

struct Restoring {
  const NatPlan& plan;
  const std::vector<NatTable*>& tables;
  Instant now;
  NatTick away = 0;
  std::vector<const NatRules*> domains{};

  // False: it does not fit.
  [[nodiscard]] bool one(NatSession session) const {
    if (!sound(session) || session.compartment >= domains.size()) return false;
    const NatRules* rules = domains[session.compartment];
    if (rules == nullptr) return false;
    session.compartment = rules->compartment.value();
    session.last_used = nat_tick(now) - (session.last_used + away);
    session.started = nat_tick(now) - (session.started + away);
    const unsigned owner = plan.owner_of_inside(*rules, session.inside);
    return tables[owner]->restore(plan, *rules, session, now);
  }
};

}  // namespace

Result<uint64_t> save_nat_sessions(const std::string& path, const NatPlan& plan,
                                   const std::vector<NatTable*>& tables, Instant now) {
  const std::string fresh = path + ".new";
  const int descriptor = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) return failed("cannot write", fresh);
  const File file(fdopen(descriptor, "wb"));
  uint64_t written = 0;
  if (!file || !write_all(file.get(), plan, tables, now, written)) {
    auto error = failed("cannot write", fresh);
    (void)std::remove(fresh.c_str());
    return error;
  }
  if (std::rename(fresh.c_str(), path.c_str()) != 0) return failed("cannot rename", fresh);
  return written;
}

Result<NatKept> restore_nat_sessions(const std::string& path, const NatPlan& plan,
                                     const std::vector<NatTable*>& tables, Instant now) {
  NatKept kept;
  const File file(std::fopen(path.c_str(), "rbe"));
  if (!file) {
    if (errno == ENOENT) return kept;
    return failed("cannot read", path);
  }
  Header header;
  if (!get(file.get(), header) || header.magic != kMagic || header.bytes_a_session != sizeof(Row)) {
    return fail(ErrorCode::invalid_value,
                fmt::format("{} is not a file of NAT sessions that this version reads", path),
                path);
  }
  const uint64_t wall = wall_milliseconds();
  const uint64_t away = wall > header.saved_at ? wall - header.saved_at : 0;
  kept.found = true;
  kept.away_seconds = static_cast<double>(away) / 1000;
  Restoring restoring{.plan = plan,
                      .tables = tables,
                      .now = now,
                      .away = static_cast<NatTick>(away * 1'000'000 >> 27)};
  std::map<std::string, const NatRules*> by_name;
  for (size_t i = 0; i < plan.rules.size(); ++i) {
    if (plan.rules[i] != nullptr && plan.rules[i]->enabled) {
      by_name.emplace(plan.rules[i]->domain, plan.rules[i].get());
    }
  }
  for (uint32_t i = 0; i < header.domains; ++i) {
    std::string name;
    if (!get_name(file.get(), name)) break;
    const auto found = by_name.find(name);
    restoring.domains.push_back(found == by_name.end() ? nullptr : found->second);
  }
  std::vector<Row> rows(kAtOnce);
  while (true) {
    const size_t count = std::fread(rows.data(), sizeof(Row), rows.size(), file.get());
    for (size_t i = 0; i < count; ++i) {
      (restoring.one(rows[i].session) ? kept.restored : kept.left_out) += 1;
    }
    if (count < rows.size()) break;
  }
  (void)std::remove(path.c_str());
  return kept;
}

}  // namespace hnv
