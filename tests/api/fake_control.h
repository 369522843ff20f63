// SPDX-License-Identifier: Apache-2.0
//
// A Control over a map: enough of the model's manners (all or nothing, preconditions, etags) to
// test what the HTTP side makes of them. It checks no references.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/control.h"

namespace hnv {

class FakeControl : public Control {
 public:
  using Resources = std::map<ResourceKey, Resource>;

  tl::expected<Applied, ChangeError> apply(Change change) override;
  [[nodiscard]] std::shared_ptr<const ConfigSnapshot> config() const override;

  [[nodiscard]] SystemState system() const override;
  [[nodiscard]] std::vector<PortState> ports() const override;
  [[nodiscard]] StatisticsState statistics() const override;
  [[nodiscard]] DropsState drops() const override;
  [[nodiscard]] std::optional<RouteTableState> routes(std::string_view domain,
                                                      const RoutePage& page) const override;
  [[nodiscard]] std::optional<NeighborTable> neighbors(std::string_view domain,
                                                       const NeighborPage& page) const override;
  [[nodiscard]] NeighborTable outside_neighbors(const NeighborPage& page) const override;
  [[nodiscard]] std::optional<DomainStatistics> domain_statistics(
      std::string_view domain) const override;
  [[nodiscard]] std::vector<DomainStatistics> all_domain_statistics() const override;
  [[nodiscard]] std::optional<ConfigurationState> configuration_state(
      const ResourceKey& key) const override;
  [[nodiscard]] std::optional<ConnectionState> connection_state(
      const NetworkConnectionKey& key) const override;
  [[nodiscard]] std::optional<BgpPeerStatus> bgp_peer_state(const BgpPeerKey& key) const override;
  // Of a domain with a router: what the peers "site" (172.16.0.1) and 172.16.0.9 told, and one of
  // its own.
  [[nodiscard]] Result<BgpRouteList> bgp_routes(std::string_view domain,
                                                const BgpRouteQuestion& question) const override;
  [[nodiscard]] Result<void> act_on_tunnel(const NetworkConnectionKey& key,
                                           TunnelAction action) override;
  [[nodiscard]] Result<TunnelDoctorState> tunnel_doctor(
      const NetworkConnectionKey& key) const override;
  [[nodiscard]] std::vector<IkeFaultState> ike_faults() const override;
  [[nodiscard]] Result<LookupExplanation> explain(
      std::string_view domain, const IpAddress<Space::customer>& destination) const override;
  [[nodiscard]] Result<NatSessionList> nat_sessions(std::string_view domain,
                                                    const NatSessionFilter& filter,
                                                    const NatSessionPage& page) const override;
  [[nodiscard]] Result<uint64_t> end_nat_sessions(std::string_view domain,
                                                  const NatSessionFilter& filter) override;
  [[nodiscard]] std::optional<NatDomainState> nat_state(std::string_view domain) const override;
  [[nodiscard]] std::optional<NatPoolState> nat_pool_state(std::string_view name) const override;
  Result<void> set_trace(std::optional<TraceFilter> filter) override;
  [[nodiscard]] TraceState trace() const override;

  // Runs at the beginning of every apply(). REQUIRES that nobody calls yet.
  void before_apply(std::function<void()> hook) { before_apply_ = std::move(hook); }
  // The next apply() fails with this and changes nothing.
  void fail_next(ChangeError error);
  // A domain has the sessions 1 to `count`, from 10.0.0.N port 1000 + N: odd ones TCP, even ones
  // UDP.
  void have_sessions(const std::string& domain, uint8_t count);
  [[nodiscard]] size_t changes() const { return changes_; }

 private:
  [[nodiscard]] bool has_domain(std::string_view domain) const;

  std::function<void()> before_apply_;
  mutable std::mutex mutex_;
  Resources resources_;
  uint64_t generation_ = 0;
  std::optional<ChangeError> next_error_;
  std::optional<TraceFilter> trace_;
  std::map<std::string, std::map<unsigned, NatSessionState>, std::less<>> sessions_;  // by domain
  std::atomic<size_t> changes_ = 0;
};

}  // namespace hnv
