// SPDX-License-Identifier: Apache-2.0
#include "api/nat_sessions.h"

#include <algorithm>
#include <charconv>

#include "api/json_readers.h"
#include "api/resource_handlers.h"
#include "api/state_json.h"

namespace hnv {
namespace {

constexpr size_t kDefaultPage = 1'000;

constexpr std::pair<std::string_view, uint8_t> kProtocols[] = {
    {"ICMP", 1}, {"TCP", 6}, {"UDP", 17}};

std::optional<uint16_t> number(const std::string& text, uint16_t max) {
  uint16_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end || value > max) return std::nullopt;
  return value;
}

// The values of a query are text. REQUIRES json.is_string(), as ever here.
struct ProtocolText {
  void operator()(const Place& place, const Json& json, Faults& faults, uint8_t& out) const {
    const auto& text = json.get_ref<const std::string&>();
    for (const auto& [name, value] : kProtocols) {
      if (text == name) {
        out = value;
        return;
      }
    }
    if (const auto value = number(text, 255)) {
      out = static_cast<uint8_t>(*value);
    } else {
      faults.invalid(place, "must be TCP, UDP, ICMP or a number from 0 to 255");
    }
  }
};

struct PortText {
  void operator()(const Place& place, const Json& json, Faults& faults, uint16_t& out) const {
    if (const auto value = number(json.get_ref<const std::string&>(), 65535)) {
      out = *value;
    } else {
      faults.invalid(place, "must be a port from 0 to 65535");
    }
  }
};

struct AddressText {  // or a prefix
  template <Space S>
  void operator()(const Place& place, const Json& json, Faults& faults, Prefix<S>& out) const {
    const auto& text = json.get_ref<const std::string&>();
    auto prefix = Prefix<S>::parse(text);
    if (const auto address = IpAddress<S>::parse(text)) prefix = {*address, address->bits()};
    if (prefix) {
      out = *prefix;
    } else {
      faults.invalid(place,
                     "must be an IP address or a prefix with no bits set behind its length, such "
                     "as 10.0.0.4 or 10.0.0.0/24");
    }
  }
};

// Reads the filter; `others` are the names that the caller reads.
Result<NatSessionFilter> read_filter(const HttpRequest& request,
                                     std::initializer_list<const char*> others) {
  Json query = Json::object();
  for (const auto& [name, value] : request.query) query[name] = value;
  NatSessionFilter filter;
  Faults faults;
  const Place place;
  ObjectReader in(place, query, faults);
  in.optional("protocol", filter.protocol, ProtocolText{});
  in.optional("inside", filter.inside, AddressText{});
  in.optional("insidePort", filter.inside_port, PortText{});
  in.optional("outside", filter.outside, AddressText{});
  in.optional("outsidePort", filter.outside_port, PortText{});
  in.optional("remote", filter.remote, AddressText{});
  in.optional("remotePort", filter.remote_port, PortText{});
  for (const char* name : others) in.ignored(name);
  in.finish();
  if (faults.empty()) return filter;
  // Names of the query, not pointers into a body.
  Error error = std::move(faults).to_error();
  for (auto& detail : error.details) {
    detail.target.erase(0, 1);
    detail.message = fmt::format("the query's \"{}\" {}", detail.target, detail.message);
  }
  error.target = error.details.front().target;
  error.message = error.details.front().message;
  return tl::make_unexpected(std::move(error));
}

}  // namespace

HttpAnswer get_nat_sessions(const Call& call) {
  const auto filter = read_filter(call.request, {"limit", "after"});
  if (!filter) return error_answer(filter.error());
  NatSessionPage page{{}, kDefaultPage};
  if (call.request.query.contains("limit")) {
    const auto limit = parse_limit(call.request);
    if (!limit) return error_answer(limit.error());
    page.limit = std::min(*limit, kMaxNatSessionPage);
  }
  if (const auto after = call.request.query.find("after"); after != call.request.query.end()) {
    page.after = after->second;
  }
  const auto list = call.control.nat_sessions(call.parameters[0], *filter, page);
  return list ? json_answer(200, state_json(*list)) : error_answer(list.error());
}

HttpAnswer delete_nat_sessions(const Call& call) {
  const auto filter = read_filter(call.request, {"all"});
  if (!filter) return error_answer(filter.error());
  const auto all = call.request.query.find("all");
  const bool every = all != call.request.query.end();
  if (every && (all->second != "true" || *filter != NatSessionFilter{})) {
    return error_answer({ErrorCode::invalid_value,
                         R"("all" must be true, without a filter: it ends every session)",
                         "all",
                         {}});
  }
  if (!every && *filter == NatSessionFilter{}) {
    return error_answer({ErrorCode::invalid_value,
                         "says not which sessions: give a filter such as ?inside=10.0.0.4, or "
                         "?all=true for every one",
                         call.request.path,
                         {}});
  }
  const auto ended = call.control.end_nat_sessions(call.parameters[0], *filter);
  return ended ? json_answer(200, {{"ended", *ended}}) : error_answer(ended.error());
}

}  // namespace hnv
