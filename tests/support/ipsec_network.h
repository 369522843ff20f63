// SPDX-License-Identifier: Apache-2.0
//
// The twin tenants' network with an internet and a site each, spoken to in packets. Both sites are
// behind the same address, with the same prefixes:
//
//   wan0 VLAN 40 "internet": own 203.0.113.1/24 and 2001:db8:40::1/64, which are VPN addresses;
//                default via .254, and via ::fe
//   site of each tenant: 198.51.100.77 (or 2001:db8:77::1), prefixes 172.16.0.0/16 and fd16::/32
//
// The site is played here, by the portable engine: it seals what it sends, opens what it gets.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/twin_tenants.h"
#include "vpn/sa_database.h"

namespace hnv {

struct IpsecOptions {
  SaCipher cipher = SaCipher::aes_gcm;
  SaIntegrity integrity = SaIntegrity::none;
  SaSequence sequence = SaSequence::bits32;
  SaEncapsulation encapsulation = SaEncapsulation::none;
  uint32_t replay_window = 64;
  bool outer_ipv6 = false;
  bool copy_df = false;
  bool copy_ecn = true;
  bool copy_dscp = false;
  bool on_demand = false;
  TunnelRate outbound{};  // no limit
  TunnelRate inbound{};
  SourceValidation source_validation = SourceValidation::strict;
  // Empty: everything, of both families.
  std::vector<SaSelector> ours{}, theirs{};
  unsigned workers = 1;
  unsigned owner = 0;  // the tunnels' worker
};

// What the site sends, besides the inner packet; the defaults are right.
struct SiteSends {
  std::optional<uint64_t> sequence{};  // else the next one
  uint8_t next_header = 0;             // 0: by the inner packet
  unsigned more_padding = 0;           // multiples of the alignment
  unsigned traffic_flow_padding = 0;   // bytes between the packet and its padding
  bool wrong_padding = false;
  bool wrong_icv = false;
  uint8_t tos = 0;                   // outer
  std::optional<SaEndpoint> from{};  // instead of the site's
};

struct IpsecSeen {
  std::string where;  // "contoso", "fabrikam" (a VM of it), "site", "elsewhere"
  Bytes packet;       // the VM's IP packet, or the outer one to the site
};

class IpsecNetwork {
 public:
  explicit IpsecNetwork(const IpsecOptions& options = {});

  // Sends it, breathes until nothing moves, says what came out.
  std::vector<IpsecSeen> from_vm(const Tenant& tenant, const Bytes& ip);
  std::vector<IpsecSeen> from_site(const Tenant& tenant, const Bytes& inner,
                                   const SiteSends& how = {});
  std::vector<IpsecSeen> from_internet(const Bytes& ip);
  std::vector<IpsecSeen> breathe();
  // The outer packet as the tenant's site would send it.
  [[nodiscard]] Bytes seal(const Tenant& tenant, const Bytes& inner, const SiteSends& how = {});
  // The inner packet of one that the tenant's site gets; nothing when it is not the site's, or not
  // authentic. `padding` gets the trailer from its first byte.
  [[nodiscard]] std::optional<Bytes> open(const Tenant& tenant, const Bytes& outer,
                                          Bytes* padding = nullptr);

  // Down and up again; other SAs of the same tunnel.
  void take_sas(const Tenant& tenant);
  void give_sas(const Tenant& tenant);
  void remove_tunnel(const Tenant& tenant);
  // The tenant's domain is gone, and another one has its number, its routes and its tunnel.
  void replace_domain(const Tenant& tenant);
  void set_rates(const Tenant& tenant, const TunnelRate& outbound, const TunnelRate& inbound);
  // Tells the workers of what has been changed in `sas`, and after any change of the network.
  void publish();

  [[nodiscard]] TestDataplane& network() { return *network_; }
  [[nodiscard]] TestLine& line() { return *line_; }
  [[nodiscard]] SaDatabase& sas() { return sas_; }
  [[nodiscard]] const Sa& outbound(const Tenant& tenant);
  [[nodiscard]] const Sa& inbound(const Tenant& tenant);
  [[nodiscard]] TunnelCounters& drops(const Tenant& tenant);
  [[nodiscard]] TunnelMeters& meters(const Tenant& tenant);
  [[nodiscard]] ConnectionCounters& traffic(const Tenant& tenant, unsigned worker = 0);
  [[nodiscard]] std::vector<IpsecNotice> notices();
  // Ledger, buffers; "" when all is well.
  [[nodiscard]] std::string fault() { return line_->fault(); }
  [[nodiscard]] uint64_t count(DropReason reason) { return line_->drops(reason); }

 private:
  struct Site {
    SaSpec in, out;  // the gateway's
    std::shared_ptr<EspKeys> seals, opens;
    uint64_t sequence = 0;
    unsigned generation = 0;
    std::shared_ptr<const TunnelView> tunnel;
    std::shared_ptr<const CompartmentView> view;  // its tenant's, with the tunnel
  };
  [[nodiscard]] Site& site(const Tenant& tenant);
  [[nodiscard]] SaSpec spec(unsigned tenant, SaDirection direction, unsigned generation) const;
  void add_tunnel(unsigned tenant);
  std::vector<IpsecSeen> sort(const std::vector<Sent>& sent) const;
  [[nodiscard]] OutsideNetworkId internet() const;

  IpsecOptions options_;
  std::unique_ptr<TestDataplane> network_;
  std::unique_ptr<TestLine> line_;
  SaDatabase sas_;
  EspTransform transform_{EspEngine::portable};
  std::array<Site, 2> sites_;
  CowArray<std::shared_ptr<const TunnelView>> tunnels_;
  uint64_t serial_ = 0;
};

// An IPv4 or IPv6 UDP packet of `payload` bytes, checksums right.
[[nodiscard]] Bytes udp_packet(const std::string& from, const std::string& to,
                               unsigned payload = 18, uint8_t traffic_class = 0,
                               bool dont_fragment = false);

}  // namespace hnv
