// SPDX-License-Identifier: Apache-2.0
#include "api/state_handlers.h"

#include <utility>

#include "api/json_readers.h"
#include "api/resource_handlers.h"
#include "api/state_json.h"

namespace hnv {
namespace {

HttpAnswer domain_missing(const std::string& domain) {
  return error_answer({ErrorCode::not_found,
                       "this routing domain does not exist",
                       "/v1/routingDomains/" + domain,
                       {}});
}

constexpr std::pair<std::string_view, uint8_t> kProtocols[] = {
    {"icmp", 1}, {"tcp", 6}, {"udp", 17}};

struct ProtocolReader {  // an IP protocol by number or by name
  void operator()(const Place& place, const Json& json, Faults& faults, uint8_t& out) const {
    if (json.is_string()) {
      for (const auto& [name, number] : kProtocols) {
        if (json == name) {
          out = number;
          return;
        }
      }
    } else if (json.is_number_unsigned() && json.get<uint64_t>() <= 255) {
      out = json.get<uint8_t>();
      return;
    }
    faults.invalid(place, R"(must be "icmp", "tcp", "udp" or a number from 0 to 255)");
  }
};

Result<TraceFilter> decode_filter(const Json& json) {
  TraceFilter filter;
  Faults faults;
  const Place place;
  ObjectReader in(place, json, faults);
  in.required("routingDomain", filter.domain, kNameReader);
  in.optional("source", filter.source, kTextFormReader);
  in.optional("destination", filter.destination, kTextFormReader);
  in.optional("protocol", filter.protocol, ProtocolReader{});
  in.optional("sourcePort", filter.source_port, WholeNumber{0, 65535});
  in.optional("destinationPort", filter.destination_port, WholeNumber{0, 65535});
  in.optional("limit", filter.limit, WholeNumber{1, 100'000});
  in.finish();
  if (!faults.empty()) return tl::make_unexpected(std::move(faults).to_error());
  return filter;
}

// ?limit=&after=NETWORK/ADDRESS
Result<NeighborPage> neighbor_page(const HttpRequest& request) {
  const auto limit = parse_limit(request);
  if (!limit) return tl::make_unexpected(limit.error());
  NeighborPage page{{}, *limit};
  const auto after = request.query.find("after");
  if (after == request.query.end()) return page;
  const size_t slash = after->second.rfind('/');
  const auto address =
      slash == std::string::npos
          ? std::nullopt
          : IpAddress<Space::external>::parse(std::string_view(after->second).substr(slash + 1));
  if (!address) {
    return fail(ErrorCode::invalid_value,
                R"("after" must be a network and an address, as nextAfter of the previous page: )"
                R"("providerNetworks/fabric/10.0.0.4")",
                "after");
  }
  page.after = {after->second.substr(0, slash), *address};
  return page;
}

}  // namespace

HttpAnswer get_system(const Call& call) {
  return json_answer(200, state_json(call.control.system()));
}

HttpAnswer get_ports(const Call& call) {
  return json_answer(200, {{"value", state_list(call.control.ports())}});
}

HttpAnswer get_statistics(const Call& call) {
  Json json = state_json(call.control.statistics());
  json["routingDomains"] = state_list(call.control.all_domain_statistics());
  return json_answer(200, json);
}

HttpAnswer get_drops(const Call& call) {
  return json_answer(200, state_json(call.control.drops()));
}

HttpAnswer get_outside_neighbors(const Call& call) {
  const auto page = neighbor_page(call.request);
  if (!page) return error_answer(page.error());
  return json_answer(200, state_json(call.control.outside_neighbors(*page)));
}

HttpAnswer get_routes(const Call& call) {
  const auto limit = parse_limit(call.request);
  if (!limit) return error_answer(limit.error());
  RoutePage page{{}, *limit};
  if (const auto after = call.request.query.find("after"); after != call.request.query.end()) {
    page.after = Prefix<Space::customer>::parse(after->second);
    if (!page.after) {
      return error_answer(
          {ErrorCode::invalid_value,
           R"("after" must be a prefix, as nextAfter of the previous page: "10.0.0.0/24")",
           "after",
           {}});
    }
  }
  const auto table = call.control.routes(call.parameters[0], page);
  return table ? json_answer(200, state_json(*table)) : domain_missing(call.parameters[0]);
}

HttpAnswer get_neighbors(const Call& call) {
  const auto page = neighbor_page(call.request);
  if (!page) return error_answer(page.error());
  const auto table = call.control.neighbors(call.parameters[0], *page);
  return table ? json_answer(200, state_json(*table)) : domain_missing(call.parameters[0]);
}

HttpAnswer get_domain_statistics(const Call& call) {
  const auto statistics = call.control.domain_statistics(call.parameters[0]);
  return statistics ? json_answer(200, state_json(*statistics))
                    : domain_missing(call.parameters[0]);
}

HttpAnswer get_lookup(const Call& call) {
  Faults faults;
  const Place query;
  const auto given = call.request.query.find("address");
  IpAddress<Space::customer> address;
  kTextFormReader(Place(query, "address"),
                  given == call.request.query.end() ? Json(nullptr) : Json(given->second), faults,
                  address);
  if (!faults.empty()) {
    Error error = std::move(faults).to_error();
    return error_answer({error.code, "the query's \"address\" " + error.message, "address", {}});
  }
  const auto explanation = call.control.explain(call.parameters[0], address);
  return explanation ? json_answer(200, state_json(*explanation))
                     : error_answer(explanation.error());
}

HttpAnswer get_trace(const Call& call) {
  return json_answer(200, state_json(call.control.trace()));
}

HttpAnswer put_trace(const Call& call) {
  const auto json = parse_json(call.request.body);
  if (!json) return error_answer(json.error());
  auto filter = decode_filter(*json);
  if (!filter) return error_answer(filter.error());
  if (!call.control.config()->find(RoutingDomainKey{filter->domain})) {
    return error_answer(
        {ErrorCode::unfit, "this routing domain does not exist", "/routingDomain", {}});
  }
  const auto set = call.control.set_trace(std::move(*filter));
  return set ? get_trace(call) : error_answer(set.error());
}

HttpAnswer delete_trace(const Call& call) {
  const auto set = call.control.set_trace(std::nullopt);
  return set ? no_content() : error_answer(set.error());
}

}  // namespace hnv
