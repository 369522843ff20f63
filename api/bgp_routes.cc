// SPDX-License-Identifier: Apache-2.0
#include "api/bgp_routes.h"

#include <algorithm>

#include <fmt/format.h>

#include "api/json_readers.h"
#include "api/resource_handlers.h"
#include "api/state_json.h"

namespace hnv {
namespace {

constexpr size_t kDefaultPage = 1'000;

// An address stands for itself alone.
struct PrefixText {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  Prefix<Space::customer>& out) const {
    const auto& text = json.get_ref<const std::string&>();
    auto prefix = Prefix<Space::customer>::parse(text);
    if (const auto address = IpAddress<Space::customer>::parse(text)) {
      prefix = {*address, address->bits()};
    }
    if (prefix) {
      out = *prefix;
    } else {
      faults.invalid(place,
                     "must be a prefix with no bits set behind its length, or an IP address, such "
                     "as 10.0.0.0/8");
    }
  }
};

Result<BgpRouteQuestion> read_question(const HttpRequest& request) {
  Json query = Json::object();
  for (const auto& [name, value] : request.query) query[name] = value;
  BgpRouteQuestion out;
  out.limit = kDefaultPage;
  Faults faults;
  const Place place;
  ObjectReader in(place, query, faults);
  in.optional("type", out.type, OneOf{kBgpRouteTypeNames});
  in.optional("peer", out.peer, Text{64});
  in.optional("prefix", out.within, PrefixText{});
  in.optional("after", out.after, PrefixText{});
  in.ignored("limit");
  in.finish();
  if (!faults.empty()) {
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
  if (request.query.contains("limit")) {
    const auto limit = parse_limit(request);
    if (!limit) return tl::make_unexpected(limit.error());
    out.limit = std::min(*limit, kMaxBgpRoutePage);
  }
  if (out.type == BgpRouteType::advertised && out.peer.empty()) {
    return fail(ErrorCode::invalid_value,
                "type=advertised needs \"peer\": what a peer was told is its own", "peer");
  }
  return out;
}

}  // namespace

HttpAnswer get_bgp_routes(const Call& call) {
  const auto question = read_question(call.request);
  if (!question) return error_answer(question.error());
  const auto list = call.control.bgp_routes(call.parameters[0], *question);
  return list ? json_answer(200, state_json(*list)) : error_answer(list.error());
}

}  // namespace hnv
