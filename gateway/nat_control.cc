// SPDX-License-Identifier: Apache-2.0
#include "gateway/nat_control.h"

#include <algorithm>
#include <charconv>
#include <thread>

namespace hnv {
namespace {

constexpr uint32_t kPopulateAhead = 32768;  // sessions
constexpr unsigned kRecordsAtOnce = 4096;
constexpr auto kPatience = std::chrono::seconds(5);
constexpr size_t kPicturesAtOnce = 4096;

template <Space S>
AddressMask mask_of(const std::optional<Prefix<S>>& prefix) {
  return prefix ? AddressMask::of(*prefix) : AddressMask{};
}

std::optional<be16> port_of(const std::optional<uint16_t>& port) {
  if (!port) return std::nullopt;
  return be16{*port};
}

template <Space S>
IpAddress<S> address_of(be32 address) {
  return Ip4<S>(address.value());
}

std::string_view text_of(NatPhase phase) {
  switch (phase) {
    case NatPhase::opening:
      return "opening";
    case NatPhase::established:
      return "established";
    case NatPhase::closing:
      return "closing";
    case NatPhase::reset:
      return "reset";
    case NatPhase::open:
      return "open";
  }
  return "open";
}

NatSessionState state_of(const NatSessionPicture& picture) {
  const NatSession& s = picture.session;
  NatSessionState out;
  out.protocol = protocol_text(s.protocol);
  out.inside_address = address_of<Space::customer>(s.inside);
  out.inside_port = s.inside_port.value();
  out.outside_address = address_of<Space::external>(s.outside);
  out.outside_port = s.outside_port.value();
  out.remote_address = address_of<Space::external>(s.remote);
  out.remote_port = s.remote_port.value();
  out.state = text_of(phase_of(s.protocol, s.state));
  out.age_seconds = nat_seconds(picture.now - s.started);
  out.idle_seconds = nat_seconds(picture.now - s.last_used);
  out.inbound_packets = s.in_packets;
  out.inbound_bytes = s.in_bytes;
  out.outbound_packets = s.out_packets;
  out.outbound_bytes = s.out_bytes;
  out.static_mapping = picture.is_static;
  return out;
}

// "2-1000": the worker and the place in its table where the next page begins.
struct Cursor {
  unsigned worker = 0;
  uint32_t place = 0;
};
std::optional<Cursor> parse_cursor(std::string_view text) {
  Cursor cursor;
  if (text.empty()) return cursor;
  const char* end = text.data() + text.size();
  const auto worker = std::from_chars(text.data(), end, cursor.worker);
  if (worker.ec != std::errc() || worker.ptr == end || *worker.ptr != '-') return std::nullopt;
  const auto place = std::from_chars(worker.ptr + 1, end, cursor.place);
  if (place.ec != std::errc() || place.ptr != end) return std::nullopt;
  return cursor;
}

}  // namespace

NatRequest::Filter filter_of(CompartmentId domain, const NatSessionFilter& filter) {
  return {.compartment = domain,
          .protocol = filter.protocol,
          .inside = mask_of(filter.inside),
          .outside = mask_of(filter.outside),
          .remote = mask_of(filter.remote),
          .inside_port = port_of(filter.inside_port),
          .outside_port = port_of(filter.outside_port),
          .remote_port = port_of(filter.remote_port)};
}

NatControl::NatControl(const NatConfig& config, const Workers& workers)
    : workers_(workers), log_(config), populated_(workers.size()), under_way_(workers.size()) {}

void NatControl::learn_names(const Compiled& compiled) {
  if (compiled.nat->plan->serial == names_known_at_) return;
  names_known_at_ = compiled.nat->plan->serial;
  const auto& rules = compiled.nat->plan->rules;
  for (size_t i = 0; i < rules.size(); ++i) {
    if (rules[i] != nullptr) names_[rules[i]->compartment_uid] = rules[i]->domain;
  }
}

void NatControl::tick(const Compiled& compiled, Instant now) {
  const NatPlan& plan = *compiled.nat->plan;
  if (plan.serial == 0) return;
  uint64_t lost = log_.lost();
  for (size_t w = 0; w < workers_.size(); ++w) {
    NatTable& table = workers_[w]->nat();
    NatRecord record;
    for (unsigned i = 0; i < kRecordsAtOnce && table.records().pop(&record, 1) == 1; ++i) {
      NatNames names;
      const auto name = names_.find(record.compartment_uid);
      if (name != names_.end()) names.domain = name->second;
      if (record.pool.valid() && record.pool.value() < plan.pools.size()) {
        names.pool = plan.pools[record.pool.value()].name;
      }
      log_.write(record, names, now);
    }
    lost += table.records_lost();
    const uint32_t wanted = table.high_water() + kPopulateAhead;
    if (wanted > populated_[w]) {
      table.populate(populated_[w], wanted + kPopulateAhead);
      populated_[w] = wanted + kPopulateAhead;
    }
  }
  if (lost > lost_told_) {
    spdlog::error("NAT: {} records of port blocks and sessions were lost: more than can be written",
                  lost - lost_told_);
    lost_told_ = lost;
  }
}

std::vector<NatTable*> NatControl::tables() const {
  std::vector<NatTable*> tables;
  for (const auto& worker : workers_) tables.push_back(&worker->nat());
  return tables;
}

uint64_t NatControl::swept() const {
  uint64_t least = UINT64_MAX;
  for (const auto& worker : workers_) least = std::min(least, worker->nat().swept());
  return least;
}

Result<void> NatControl::ask(unsigned worker, const std::shared_ptr<NatRequest>& request) const {
  const auto unavailable = [&] {
    return fail(ErrorCode::unavailable,
                fmt::format("worker {} does not answer: try again later", worker));
  };
  // One that was given up may still be the worker's.
  if (under_way_[worker] && !under_way_[worker]->done.load(std::memory_order_acquire)) {
    return unavailable();
  }
  under_way_[worker] = request;
  workers_[worker]->ask_nat(request.get());
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!request->done.load(std::memory_order_acquire)) {
    if (std::chrono::steady_clock::now() > end) return unavailable();
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return {};
}

Result<NatSessionList> NatControl::sessions(const NatRequest::Filter& filter,
                                            const NatSessionPage& page) const {
  const auto cursor = parse_cursor(page.after);
  if (!cursor || cursor->worker >= workers_.size()) {
    return fail(ErrorCode::invalid_value,
                "must be what the page before gave as its next, or be left out", "after");
  }
  NatSessionList list;
  const std::scoped_lock lock(mutex_);
  Cursor at = *cursor;
  while (at.worker < workers_.size() && list.sessions.size() < page.limit) {
    auto request = std::make_shared<NatRequest>();
    request->filter = filter;
    request->place = at.place;
    request->found.resize(std::min(page.limit - list.sessions.size(), kPicturesAtOnce));
    if (auto done = ask(at.worker, request); !done) return tl::make_unexpected(done.error());
    for (size_t i = 0; i < request->count; ++i) {
      list.sessions.push_back(state_of(request->found[i]));
    }
    at = request->more ? Cursor{at.worker, request->place} : Cursor{at.worker + 1, 0};
  }
  if (at.worker < workers_.size()) list.next = fmt::format("{}-{}", at.worker, at.place);
  return list;
}

Result<uint64_t> NatControl::end(const NatRequest::Filter& filter) {
  uint64_t ended = 0;
  const std::scoped_lock lock(mutex_);
  for (unsigned w = 0; w < workers_.size(); ++w) {
    auto request = std::make_shared<NatRequest>();
    request->what = NatRequest::What::end;
    request->filter = filter;
    if (auto done = ask(w, request); !done) return tl::make_unexpected(done.error());
    ended += request->count;
  }
  return ended;
}

std::optional<NatPoolState> NatControl::pool_state(const NatPlan& plan,
                                                   const std::string& name) const {
  for (uint32_t i = 0; i < plan.pools.size(); ++i) {
    const NatPool& pool = plan.pools[i];
    if (pool.name != name || pool.members.empty()) continue;
    NatPoolState state;
    state.addresses = pool.members.size();
    state.port_blocks = pool.members.size() * (uint64_t{pool.range.last} / pool.block_ports -
                                               pool.range.first / pool.block_ports + 1);
    state.domains = pool.domains;
    for (const auto& worker : workers_) {
      state.port_blocks_in_use += worker->nat().ports().blocks_in_use(NatPoolId(i));
      state.ports_in_use += worker->nat().ports().ports_in_use(NatPoolId(i));
    }
    return state;
  }
  return std::nullopt;
}

}  // namespace hnv
