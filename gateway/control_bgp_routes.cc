// SPDX-License-Identifier: Apache-2.0
//
// What bgpd has of a domain, asked on the http thread: the control thread only opens the
// connection.
#include <algorithm>
#include <future>
#include <utility>

#include <fmt/format.h>

#include "bgp/bgp_table.h"
#include "gateway/control_loop.h"

namespace hnv {
namespace {

constexpr auto kTurn = std::chrono::seconds(20);      // for others' questions to end
constexpr auto kPatience = std::chrono::seconds(30);  // for bgpd
constexpr auto kLook = std::chrono::milliseconds(100);

double seconds_since(uint64_t epoch) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::max(0.0, std::chrono::duration<double>(now).count() - static_cast<double>(epoch));
}

using Peers = std::map<std::string, BgpPeerSpec>;

Result<void> find_peer(const Peers& peers, const BgpRouteQuestion& question,
                       BgpTableQuestion& out) {
  if (question.peer.empty()) return {};
  const auto named = peers.find(question.peer);
  out.peer = named != peers.end() ? named->second.peer_ip_address
                                  : IpAddress<Space::customer>::parse(question.peer);
  const bool known = std::any_of(peers.begin(), peers.end(), [&](const auto& peer) {
    return peer.second.peer_ip_address == out.peer;
  });
  if (known) return {};
  return fail(ErrorCode::unfit,
              fmt::format("{} is no peer of this routing domain: give the name of one of its "
                          "bgpPeers, or its IP address",
                          question.peer),
              "peer");
}

BgpRouteList list_of(BgpTablePage&& page, const Peers& peers) {
  std::map<IpAddress<Space::customer>, std::string> names;
  for (const auto& [name, peer] : peers) names.emplace(peer.peer_ip_address, name);
  BgpRouteList out{{}, page.next, page.complete};
  for (BgpRoute& route : page.routes) {
    BgpRouteState& added = out.routes.emplace_back();
    if (route.updated) added.age_seconds = seconds_since(*route.updated);
    const auto name = route.peer ? names.find(*route.peer) : names.end();
    if (name != names.end()) added.peer = name->second;
    added.route = std::move(route);
  }
  return out;
}

}  // namespace

Result<BgpRouteList> ControlLoop::bgp_routes(std::string_view domain,
                                             const BgpRouteQuestion& question) const {
  const auto current = compiled();
  const auto* found = current->domains.find(std::string(domain));
  if (found == nullptr) {
    return fail(ErrorCode::not_found, "this routing domain does not exist",
                resource_path(RoutingDomainKey{std::string(domain)}));
  }
  const std::string path = resource_path(BgpRouterKey{std::string(domain)});
  if ((*found)->bgp == nullptr) return fail(ErrorCode::not_found, "there is no bgpRouter", path);
  const Peers& peers = (*found)->bgp->spec.peers;
  BgpTableQuestion asked{{}, question.type, {}, question.within, question.after, question.limit};
  if (auto known = find_peer(peers, question, asked); !known) {
    return tl::make_unexpected(known.error());
  }
  auto promise = std::make_shared<std::promise<Result<BgpReader>>>();
  auto future = promise->get_future();
  ask([&] {
    bgp_->open_reader(
        domain, [promise](Result<BgpReader> reader) { promise->set_value(std::move(reader)); });
    return true;
  });
  const auto until = Clock::now() + kTurn;
  while (future.wait_for(kLook) != std::future_status::ready) {
    if (stop_.load(std::memory_order_acquire)) {
      return fail(ErrorCode::unavailable, "the gateway ends", path);
    }
    if (Clock::now() < until) continue;
    return fail(ErrorCode::unavailable,
                "bgpd is busy with others' questions, or does not answer: try again later", path);
  }
  auto reader = future.get();
  if (!reader) {
    Error error = reader.error();
    error.target = path;
    return tl::make_unexpected(std::move(error));
  }
  asked.vrf = reader->vrf;
  VtyReader vty(std::move(reader->fd), Clock::now() + kPatience);
  BgpTable table(vty, [&](const auto& after, const BgpTable::Visit& visit) {
    (*found)->routes->for_each_best_behind(
        after, [&](const RouteCandidate& best) { return visit(best.prefix); });
  });
  auto page = table.page(asked);
  if (!page) return tl::make_unexpected(page.error());
  return list_of(std::move(*page), peers);
}

}  // namespace hnv
