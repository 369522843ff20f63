// SPDX-License-Identifier: Apache-2.0
#include "tests/support/ipsec_network.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "compartments/checksum.h"
#include "tests/support/nat_network.h"
#include "vpn/charon/sa_protocol.h"

namespace hnv {
namespace {

constexpr CharonId kCharon = 0;
constexpr uint8_t kEsp = 50;

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "ipsec network: %s\n", why.c_str());
  std::abort();
}

IpAddress<Space::external> external(const char* text) {
  return *IpAddress<Space::external>::parse(text);
}
uint16_t get16(const Bytes& in, size_t at) {
  return static_cast<uint16_t>(in[at] << 8 | in[at + 1]);
}
void put16(Bytes& out, size_t at, uint16_t value) {
  out[at] = static_cast<uint8_t>(value >> 8);
  out[at + 1] = static_cast<uint8_t>(value);
}
void put32(Bytes& out, size_t at, uint32_t value) {
  put16(out, at, static_cast<uint16_t>(value >> 16));
  put16(out, at + 2, static_cast<uint16_t>(value));
}

SaSelector whole(const char* from, const char* to) {
  return {.from = *IpAddress<Space::customer>::parse(from),
          .to = *IpAddress<Space::customer>::parse(to)};
}
std::vector<SaSelector> or_everything(const std::vector<SaSelector>& selectors) {
  if (!selectors.empty()) return selectors;
  return {whole("0.0.0.0", "255.255.255.255"),
          whole("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")};
}

size_t integrity_bytes(SaIntegrity integrity) {
  switch (integrity) {
    case SaIntegrity::none:
      return 0;
    case SaIntegrity::hmac_sha1_96:
      return 20;
    case SaIntegrity::hmac_sha256_128:
      return 32;
    case SaIntegrity::hmac_sha384_192:
      return 48;
    case SaIntegrity::hmac_sha512_256:
      return 64;
  }
  return 0;
}

// Headers in front of `upper`, of the addresses' family.
Bytes with_ip(const SaEndpoint& from, const SaEndpoint& to, uint8_t protocol, uint8_t tos,
              const Bytes& upper) {
  Bytes out(from.address.is_v4() ? 20 : 40, 0);
  if (from.address.is_v4()) {
    out[0] = 0x45;
    out[1] = tos;
    put16(out, 2, static_cast<uint16_t>(20 + upper.size()));
    out[8] = 60;
    out[9] = protocol;
    std::copy_n(from.address.bytes().begin(), 4, out.begin() + 12);
    std::copy_n(to.address.bytes().begin(), 4, out.begin() + 16);
    put16(out, 10, checksum_of(out.data(), 20).value());
  } else {
    put32(out, 0, wire::kIpv6Version | uint32_t{tos} << 20);
    put16(out, 4, static_cast<uint16_t>(upper.size()));
    out[6] = protocol;
    out[7] = 60;
    std::copy_n(from.address.bytes().begin(), 16, out.begin() + 8);
    std::copy_n(to.address.bytes().begin(), 16, out.begin() + 24);
  }
  out.insert(out.end(), upper.begin(), upper.end());
  return out;
}

// A route that leads through the private connection leads through the tunnel.
std::shared_ptr<const CompartmentView> with_tunnel(const CompartmentView& before, TunnelId id,
                                                   const IpsecOptions& options,
                                                   std::shared_ptr<ConnectionCounters[]> counters,
                                                   ConnectionId& connection) {
  auto view = std::make_shared<CompartmentView>(before);
  auto connections = std::make_shared<std::vector<ConnectionView>>(*before.connections_owner);
  connection = ConnectionId(static_cast<uint32_t>(connections->size()));
  ConnectionView own;
  own.tunnel = id;
  own.mtu = 1400;
  own.source_validation = options.source_validation;
  own.icmp_source = ip4("10.0.0.2");
  own.counters = std::move(counters);
  connections->push_back(own);
  auto hops = std::make_shared<std::vector<Hop>>(*before.hops_owner);
  unsigned found = 0;
  for (Hop& hop : *hops) {
    if (hop.kind != HopKind::connection_via) continue;
    hop.kind = HopKind::ipsec;
    hop.connection = connection;
    ++found;
  }
  if (found == 0) die("no route leads through a connection");
  view->connections_owner = connections;
  view->connections = connections->data();
  view->hops_owner = hops;
  view->hops = hops->data();
  return view;
}

}  // namespace

IpsecNetwork::IpsecNetwork(const IpsecOptions& options)
    : options_(options), network_(std::make_unique<TestDataplane>(twin_ports(), options.workers)) {
  network_->change(twin_requests());
  network_->change(
      {{"externalNetworks/internet",
        R"({"port":"wan0","vlanId":40,"ipAddresses":["203.0.113.1/24","2001:db8:40::1/64"],
            "routes":[{"destinationPrefix":"0.0.0.0/0","nextHop":"203.0.113.254"},
                      {"destinationPrefix":"::/0","nextHop":"2001:db8:40::fe"}],
            "publicAddressPrefixes":["198.51.100.0/28"]})"},
       {"publicIPAddresses/shared",
        R"({"externalNetwork":"internet","publicIPAddresses":["198.51.100.4/30"]})"}});
  for (const Tenant& tenant : kTwins) {
    network_->change({{"routingDomains/" + tenant.name + "/nat", NatNetwork::rules()}});
  }
  network_->answer_all();
  line_ = std::make_unique<TestLine>(*network_);
  sas_.add_charon(kCharon, {1, 1000});
  for (unsigned i = 0; i < 2; ++i) add_tunnel(i);
  for (const Tenant& tenant : kTwins) give_sas(tenant);
}

OutsideNetworkId IpsecNetwork::internet() const {
  const OutsideNetworks& networks = *network_->plane().outside;
  for (uint32_t i = 0; i < networks.size(); ++i) {
    if (networks[i].vlan.value() == kInternetVlan) return OutsideNetworkId(i);
  }
  die("the internet has not been compiled");
}

void IpsecNetwork::add_tunnel(unsigned tenant) {
  const CompartmentView& view = network_->compartment(kTwins[tenant].name);
  auto tunnel = std::make_shared<TunnelView>();
  tunnel->id = TunnelId(tenant);
  tunnel->uid = tenant + 1;
  tunnel->name = kTwins[tenant].name + "/networkConnections/site";
  tunnel->compartment = view.id;
  tunnel->compartment_uid = view.uid;
  tunnel->network = internet();
  tunnel->worker = options_.owner;
  tunnel->on_demand = options_.on_demand;
  tunnel->outbound = options_.outbound;
  tunnel->inbound = options_.inbound;
  tunnel->meters_owner = std::make_shared<TunnelMeters>();
  tunnel->traffic_owner =
      std::shared_ptr<ConnectionCounters[]>(new ConnectionCounters[options_.workers]);
  tunnel->drops_owner = std::shared_ptr<TunnelCounters[]>(new TunnelCounters[options_.workers]);
  tunnel->meters = tunnel->meters_owner.get();
  tunnel->traffic = tunnel->traffic_owner.get();
  tunnel->drops = tunnel->drops_owner.get();
  sites_[tenant].view =
      with_tunnel(view, tunnel->id, options_, tunnel->traffic_owner, tunnel->connection);
  sites_[tenant].tunnel = tunnel;
  tunnels_ = tunnels_.with(tenant, tunnel);
  sas_.add_tunnel(tunnel->if_id(), kCharon);
}

SaSpec IpsecNetwork::spec(unsigned tenant, SaDirection direction, unsigned generation) const {
  const bool udp = options_.encapsulation == SaEncapsulation::udp;
  const SaEndpoint ours{external(options_.outer_ipv6 ? "2001:db8:40::1" : "203.0.113.1"),
                        udp ? uint16_t{4500} : uint16_t{0}};
  const SaEndpoint theirs{external(options_.outer_ipv6 ? "2001:db8:77::1" : "198.51.100.77"),
                          udp ? static_cast<uint16_t>(4501 + tenant) : uint16_t{0}};
  const bool inbound = direction == SaDirection::inbound;
  SaSpec out;
  out.direction = direction;
  // The site's SPIs are its own business; those of both tenants' sites must differ at one address.
  out.spi = inbound ? sa_protocol::make_spi(7 + generation, 1 + tenant)
                    : 0xc0de0000 + tenant * 0x100 + generation;
  out.if_id = tenant + 1;
  out.source = inbound ? theirs : ours;
  out.destination = inbound ? ours : theirs;
  out.encapsulation = options_.encapsulation;
  out.cipher = options_.cipher;
  out.integrity = options_.integrity;
  out.sequence = options_.sequence;
  out.replay_window = options_.replay_window;
  out.copy_df = options_.copy_df;
  out.copy_ecn = options_.copy_ecn;
  out.copy_dscp = options_.copy_dscp;
  out.source_selectors = or_everything(inbound ? options_.theirs : options_.ours);
  out.destination_selectors = or_everything(inbound ? options_.ours : options_.theirs);
  const auto fill =
      static_cast<uint8_t>(1 + tenant * 16 + generation * 64 + (inbound ? 1U : 0U) * 8);
  const bool combined = options_.integrity == SaIntegrity::none;
  const size_t key = options_.cipher == SaCipher::triple_des_cbc ? 24 : 32;
  Bytes encryption(key);
  for (size_t i = 0; i < key; ++i) encryption[i] = static_cast<uint8_t>(fill + i);
  out.keys = std::make_shared<const SaKeys>(
      SaKeys{SecretBytes(encryption), SecretBytes(Bytes(combined ? 4 : 0, fill)),
             SecretBytes(Bytes(integrity_bytes(options_.integrity), fill))});
  return out;
}

void IpsecNetwork::give_sas(const Tenant& tenant) {
  Site& at = site(tenant);
  const auto place = static_cast<unsigned>(&at - sites_.data());
  ++at.generation;
  at.in = spec(place, SaDirection::inbound, at.generation);
  at.out = spec(place, SaDirection::outbound, at.generation);
  at.sequence = 0;
  SaSpec seals = at.in;
  seals.direction = SaDirection::outbound;
  SaSpec opens = at.out;
  opens.direction = SaDirection::inbound;
  at.seals = EspKeys::make(seals, EspEngine::portable);
  at.opens = EspKeys::make(opens, EspEngine::portable);
  for (const SaSpec& one : {at.in, at.out}) {
    const auto added = sas_.add(kCharon, one, SaDatabase::Origin::fresh, Duration::zero(),
                                network_->clock().now());
    if (!added) die(added.error().message);
  }
  publish();
}

void IpsecNetwork::take_sas(const Tenant& tenant) {
  const Site& at = site(tenant);
  for (const SaSpec& one : {at.in, at.out}) {
    (void)sas_.remove(kCharon, {one.direction, one.spi, one.destination.address});
  }
  publish();
}

void IpsecNetwork::remove_tunnel(const Tenant& tenant) {
  tunnels_ = tunnels_.with(site(tenant).tunnel->id.value(), nullptr);
  publish();
}

void IpsecNetwork::replace_domain(const Tenant& tenant) {
  auto another = std::make_shared<CompartmentView>(*site(tenant).view);
  another->uid += 1'000;
  Site& at = site(tenant);
  at.view = another;
  auto tunnel = std::make_shared<TunnelView>(*at.tunnel);
  tunnel->compartment_uid = another->uid;
  at.tunnel = tunnel;
  tunnels_ = tunnels_.with(tunnel->id.value(), tunnel);
  publish();
}

void IpsecNetwork::set_rates(const Tenant& tenant, const TunnelRate& outbound,
                             const TunnelRate& inbound) {
  Site& at = site(tenant);
  auto view = std::make_shared<TunnelView>(*at.tunnel);
  view->outbound = outbound;
  view->inbound = inbound;
  at.tunnel = view;
  tunnels_ = tunnels_.with(view->id.value(), view);
  publish();
}

void IpsecNetwork::publish() {
  for (const Site& one : sites_) network_->replace(one.view);
  auto plan = std::make_shared<IpsecPlan>();
  plan->serial = ++serial_;
  const AttachmentId attachment = (*network_->plane().outside)[internet().value()].attachment;
  plan->addresses = VpnAddresses(
      {{attachment, external("203.0.113.1")}, {attachment, external("2001:db8:40::1")}});
  plan->tunnels = tunnels_;
  plan->sas = sas_.table();
  network_->set_ipsec(plan);
}

IpsecNetwork::Site& IpsecNetwork::site(const Tenant& tenant) {
  return sites_[tenant.name == kTwins[0].name ? 0 : 1];
}
const Sa& IpsecNetwork::outbound(const Tenant& tenant) {
  return *sas_.table().outbound[site(tenant).out.if_id];
}
const Sa& IpsecNetwork::inbound(const Tenant& tenant) {
  return *sas_.table().inbound[sa_protocol::index_of_spi(site(tenant).in.spi)];
}
TunnelCounters& IpsecNetwork::drops(const Tenant& tenant) { return site(tenant).tunnel->drops[0]; }
TunnelMeters& IpsecNetwork::meters(const Tenant& tenant) { return *site(tenant).tunnel->meters; }
ConnectionCounters& IpsecNetwork::traffic(const Tenant& tenant, unsigned worker) {
  return site(tenant).tunnel->traffic[worker];
}
std::vector<IpsecNotice> IpsecNetwork::notices() {
  std::vector<IpsecNotice> out;
  IpsecNotice notice;
  while (line_->line().ipsec().notices.pop(&notice, 1) == 1) out.push_back(notice);
  return out;
}

Bytes IpsecNetwork::seal(const Tenant& tenant, const Bytes& inner, const SiteSends& how) {
  Site& at = site(tenant);
  const uint64_t sequence = how.sequence.value_or(at.sequence + 1);
  at.sequence = std::max(at.sequence, sequence);
  const EspFormat format = esp_format_of(at.in.cipher, at.in.integrity);
  Bytes payload = inner;
  payload.insert(payload.end(), how.traffic_flow_padding, 0);
  const size_t least = payload.size() + 2;
  const size_t padding =
      (format.alignment - least % format.alignment) % format.alignment + how.more_padding;
  for (size_t i = 1; i <= padding; ++i) {
    payload.push_back(static_cast<uint8_t>(how.wrong_padding ? i + 1 : i));
  }
  payload.push_back(static_cast<uint8_t>(padding));
  const bool ipv6 = !inner.empty() && inner[0] >> 4 == 6;
  payload.push_back(how.next_header != 0 ? how.next_header : static_cast<uint8_t>(ipv6 ? 41 : 4));
  Bytes esp(8U + format.iv_bytes, 0);
  put32(esp, 0, at.in.spi);
  put32(esp, 4, static_cast<uint32_t>(sequence));
  put32(esp, 12, static_cast<uint32_t>(sequence));  // the IV: any, but another one each time
  const auto head = static_cast<ptrdiff_t>(esp.size());
  esp.insert(esp.end(), payload.begin(), payload.end());
  esp.resize(esp.size() + format.icv_bytes);
  const EspJob job{.keys = at.seals.get(),
                   .esp = esp.data(),
                   .bytes = static_cast<uint32_t>(payload.size()),
                   .sequence_high = static_cast<uint32_t>(sequence >> 32)};
  transform_.seal(&job, 1);
  if (how.wrong_icv) esp[static_cast<size_t>(head)] ^= 1;
  const SaEndpoint from = how.from.value_or(at.in.source);
  if (at.in.encapsulation == SaEncapsulation::none) {
    return with_ip(from, at.in.destination, kEsp, how.tos, esp);
  }
  Bytes udp(8, 0);
  put16(udp, 0, from.port);
  put16(udp, 2, at.in.destination.port);
  put16(udp, 4, static_cast<uint16_t>(8 + esp.size()));
  udp.insert(udp.end(), esp.begin(), esp.end());
  return with_ip(from, at.in.destination, 17, how.tos, udp);
}

std::optional<Bytes> IpsecNetwork::open(const Tenant& tenant, const Bytes& outer, Bytes* padding) {
  const Site& at = site(tenant);
  const bool ipv6 = outer[0] >> 4 == 6;
  size_t place = ipv6 ? 40 : 20;
  if ((ipv6 ? outer[6] : outer[9]) == 17) place += 8;
  Bytes esp(outer.begin() + static_cast<ptrdiff_t>(place), outer.end());
  const uint32_t spi = static_cast<uint32_t>(get16(esp, 0)) << 16 | get16(esp, 2);
  if (spi != at.out.spi) return std::nullopt;
  const EspFormat format = esp_format_of(at.out.cipher, at.out.integrity);
  const size_t around = 8U + format.iv_bytes + format.icv_bytes;
  const EspJob job{.keys = at.opens.get(),
                   .esp = esp.data(),
                   .bytes = static_cast<uint32_t>(esp.size() - around),
                   .sequence_high = 0};
  bool good = false;
  transform_.open(&job, 1, &good);
  if (!good) return std::nullopt;
  const auto begin = esp.begin() + 8 + format.iv_bytes;
  const auto end = esp.end() - format.icv_bytes;
  const ptrdiff_t trailer = 2 + *(end - 2);
  if (padding != nullptr) padding->assign(end - trailer, end);
  return Bytes(begin, end - trailer);
}

std::vector<IpsecSeen> IpsecNetwork::sort(const std::vector<Sent>& sent) const {
  std::vector<IpsecSeen> out;
  for (const auto& [port, frame] : sent) {
    IpsecSeen seen{"elsewhere", frame};
    const bool tagged = get16(frame, 12) == 0x8100;
    if (port == kWanPort && tagged && (get16(frame, 14) & 0xfff) == kInternetVlan) {
      seen = {"site", Bytes(frame.begin() + 18, frame.end())};
    } else if (port == kFabricPort && !tagged && frame[23] == 47) {
      const uint32_t vsid = static_cast<uint32_t>(get16(frame, 38)) << 8 | frame[40];
      for (const Tenant& tenant : kTwins) {
        if (vsid >= tenant.gateway && vsid <= tenant.six) seen.where = tenant.name;
      }
      seen.packet.assign(frame.begin() + 56, frame.end());
    }
    out.push_back(std::move(seen));
  }
  return out;
}

std::vector<IpsecSeen> IpsecNetwork::from_vm(const Tenant& tenant, const Bytes& ip) {
  const uint16_t type = ip[0] >> 4 == 6 ? uint16_t{0x86dd} : uint16_t{0x0800};
  const auto inner = eth(kGatewayMac, kRouterMac).with([&](EthLayer& l) { l.type = type; });
  return sort(line_->run(kFabricPort, fabric() / gre(tenant.gateway) / inner / raw(ip)));
}

std::vector<IpsecSeen> IpsecNetwork::from_site(const Tenant& tenant, const Bytes& inner,
                                               const SiteSends& how) {
  return from_internet(seal(tenant, inner, how));
}

std::vector<IpsecSeen> IpsecNetwork::from_internet(const Bytes& ip) {
  const uint16_t type = ip[0] >> 4 == 6 ? uint16_t{0x86dd} : uint16_t{0x0800};
  const auto tag = vlan(kInternetVlan).with([&](VlanLayer& l) { l.type = type; });
  return sort(line_->run(kWanPort, Frame(eth(kWanMac, "02:aa:cb:00:71:fe")) / tag / raw(ip)));
}

std::vector<IpsecSeen> IpsecNetwork::breathe() { return sort(line_->breathe()); }

Bytes udp_packet(const std::string& from, const std::string& to, unsigned payload,
                 uint8_t traffic_class, bool dont_fragment) {
  const auto source = *IpAddress<Space::external>::parse(from);
  const auto destination = *IpAddress<Space::external>::parse(to);
  if (source.is_v4()) {
    NatPacket packet = nat_udp(from, 1000, to, 2000);
    packet.payload.assign(payload, 0x61);
    packet.tos = traffic_class;
    packet.fragment = dont_fragment ? uint16_t{0x4000} : uint16_t{0};
    return packet.bytes();
  }
  Bytes udp(8 + payload, 0x61);
  put16(udp, 0, 1000);
  put16(udp, 2, 2000);
  put16(udp, 4, static_cast<uint16_t>(udp.size()));
  put16(udp, 6, 0);
  const uint64_t sum = checksum_sum6(source.bytes(), destination.bytes(), wire::ip_protocol::kUdp,
                                     udp.data(), static_cast<uint32_t>(udp.size()));
  put16(udp, 6, be16::from_raw(static_cast<uint16_t>(~checksum_fold(sum))).value());
  return with_ip({source, 0}, {destination, 0}, wire::ip_protocol::kUdp, traffic_class, udp);
}

}  // namespace hnv
