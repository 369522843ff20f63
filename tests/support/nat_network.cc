// SPDX-License-Identifier: Apache-2.0
#include "tests/support/nat_network.h"

#include <arpa/inet.h>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

#include "compartments/checksum.h"

namespace hnv {
namespace {

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "nat network: %s\n", why.c_str());
  std::abort();
}

void put16(Bytes& out, size_t at, uint16_t value) {
  out[at] = static_cast<uint8_t>(value >> 8);
  out[at + 1] = static_cast<uint8_t>(value);
}
uint16_t get16(const Bytes& in, size_t at) {
  return static_cast<uint16_t>(in[at] << 8 | in[at + 1]);
}
void add16(Bytes& out, uint16_t value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}
void add32(Bytes& out, uint32_t value) {
  add16(out, static_cast<uint16_t>(value >> 16));
  add16(out, static_cast<uint16_t>(value));
}

std::string text(uint32_t host_order) {
  return IpAddress<Space::customer>(CaAddress(host_order)).to_string();
}

// The sum over pseudo header and transport, as the processor loads words.
uint16_t transport_sum(const Bytes& ip, size_t header) {
  uint64_t sum = checksum_sum(ip.data() + 12, 8);
  sum += be16{ip[9]}.raw();
  sum += be16{static_cast<uint16_t>(ip.size() - header)}.raw();
  return checksum_fold(sum + checksum_sum(ip.data() + header, ip.size() - header));
}

bool is_query(uint8_t icmp_type) {
  return icmp_type == 0 || icmp_type == 8 || icmp_type == 13 || icmp_type == 14;
}
size_t checksum_place(uint8_t protocol) { return protocol == 6 ? 16 : 6; }
bool has_pseudo_checksum(uint8_t protocol) {
  return protocol == 6 || protocol == 17 || protocol == 136 || protocol == 33;
}

Bytes transport_of(const NatPacket& p) {
  Bytes out;
  if (p.protocol == 6) {
    add16(out, p.from_port);
    add16(out, p.to_port);
    add32(out, 1);
    add32(out, (p.flags & 16) != 0 ? 1U : 0U);
    out.push_back(p.mss ? 0x60 : 0x50);
    out.push_back(p.flags);
    add16(out, 0xffff);
    add32(out, 0);
    if (p.mss) {
      out.push_back(2);
      out.push_back(4);
      add16(out, *p.mss);
    }
  } else if (p.protocol == 1) {
    out.push_back(p.icmp_type);
    out.push_back(p.icmp_code);
    add16(out, 0);
    const bool query = is_query(p.icmp_type);
    add16(out, query ? p.from_port : uint16_t{0});
    add16(out, query ? uint16_t{1} : p.icmp_mtu);
  } else if (has_pseudo_checksum(p.protocol)) {
    add16(out, p.from_port);
    add16(out, p.to_port);
    add16(out, static_cast<uint16_t>(8 + p.payload.size()));
    add16(out, 0);
  }
  out.insert(out.end(), p.payload.begin(), p.payload.end());
  return out;
}

void set_transport_checksum(Bytes& ip, size_t header, const NatPacket& p) {
  if (p.protocol == 1) {
    const uint16_t sum = checksum_fold(checksum_sum(ip.data() + header, ip.size() - header));
    const auto wire = be16::from_raw(static_cast<uint16_t>(~sum));
    put16(ip, header + 2, wire.value());
  } else if (has_pseudo_checksum(p.protocol) && !p.without_checksum) {
    const auto wire = be16::from_raw(static_cast<uint16_t>(~transport_sum(ip, header)));
    put16(ip, header + checksum_place(p.protocol),
          wire.value() == 0 ? uint16_t{0xffff} : wire.value());
  }
}

}  // namespace

Bytes NatPacket::bytes() const {
  const bool later = (fragment & 0x1fff) != 0;
  const Bytes transport = later ? payload : transport_of(*this);
  const size_t header = 20 + options.size();
  Bytes out;
  out.push_back(static_cast<uint8_t>(0x40 | header / 4));
  out.push_back(tos);
  add16(out, static_cast<uint16_t>(header + transport.size()));
  add16(out, id);
  add16(out, fragment);
  out.push_back(ttl);
  out.push_back(protocol);
  add16(out, 0);
  add32(out, ip4(from));
  add32(out, ip4(to));
  out.insert(out.end(), options.begin(), options.end());
  out.insert(out.end(), transport.begin(), transport.end());
  put16(out, 10, checksum_of(out.data(), header).value());
  if (!later) set_transport_checksum(out, header, *this);
  return out;
}

NatPacket nat_udp(std::string from, uint16_t from_port, std::string to, uint16_t to_port) {
  NatPacket p;
  p.from = std::move(from);
  p.to = std::move(to);
  p.from_port = from_port;
  p.to_port = to_port;
  return p;
}
NatPacket nat_tcp(std::string from, uint16_t from_port, std::string to, uint16_t to_port,
                  uint8_t flags) {
  NatPacket p = nat_udp(std::move(from), from_port, std::move(to), to_port);
  p.protocol = 6;
  p.flags = flags;
  return p;
}
NatPacket nat_echo(std::string from, std::string to, uint16_t id) {
  NatPacket p = nat_udp(std::move(from), id, std::move(to), 0);
  p.protocol = 1;
  return p;
}

NatPacket reply_to(const NatPacket& seen) {
  NatPacket p = seen;
  std::swap(p.from, p.to);
  p.ttl = 64;
  if (p.protocol == 1) {
    p.icmp_type = p.icmp_type == 13 ? uint8_t{14} : uint8_t{0};
  } else {
    std::swap(p.from_port, p.to_port);
    if (p.protocol == 6) p.flags = 18;
  }
  return p;
}

NatPacket error_about(const NatPacket& seen, std::string from, uint8_t type, uint8_t code,
                      uint16_t mtu) {
  NatPacket p;
  p.to = seen.from;
  p.from = std::move(from);
  p.protocol = 1;
  p.icmp_type = type;
  p.icmp_code = code;
  p.icmp_mtu = mtu;
  p.payload = seen.bytes();
  return p;
}

NatPacket parse_packet(const Bytes& ip, std::string& fault) {
  if (ip.size() < 20 || ip[0] >> 4 != 4) die("no IPv4 packet");
  const size_t header = size_t{ip[0] & 15U} * 4;
  NatPacket p;
  p.from = text(static_cast<uint32_t>(get16(ip, 12)) << 16 | get16(ip, 14));
  p.to = text(static_cast<uint32_t>(get16(ip, 16)) << 16 | get16(ip, 18));
  p.protocol = ip[9];
  p.tos = ip[1];
  p.ttl = ip[8];
  p.id = get16(ip, 4);
  p.fragment = get16(ip, 6);
  p.options.assign(ip.begin() + 20, ip.begin() + static_cast<ptrdiff_t>(header));
  if (checksum_fold(checksum_sum(ip.data(), header)) != 0xffff) fault += "IP checksum wrong; ";
  const bool whole = get16(ip, 2) == ip.size();
  if ((p.fragment & 0x1fff) != 0) {
    p.payload.assign(ip.begin() + static_cast<ptrdiff_t>(header), ip.end());
    return p;
  }
  const bool can_check = whole && (p.fragment & 0x2000) == 0;
  size_t start = header;
  if (p.protocol == 1) {
    p.icmp_type = ip[header];
    p.icmp_code = ip[header + 1];
    const bool query = is_query(p.icmp_type);
    if (query) p.from_port = get16(ip, header + 4);
    if (!query) p.icmp_mtu = get16(ip, header + 6);
    start += 8;
    if (can_check &&
        checksum_fold(checksum_sum(ip.data() + header, ip.size() - header)) != 0xffff) {
      fault += "ICMP checksum wrong; ";
    }
  } else if (has_pseudo_checksum(p.protocol)) {
    p.from_port = get16(ip, header);
    p.to_port = get16(ip, header + 2);
    const size_t place = header + checksum_place(p.protocol);
    p.without_checksum = p.protocol == 17 && get16(ip, place) == 0;
    if (can_check && !p.without_checksum && transport_sum(ip, header) != 0xffff) {
      fault += "transport checksum wrong; ";
    }
    start += 8;
    if (p.protocol == 6) {
      p.flags = ip[header + 13];
      start = header + size_t{4} * (ip[header + 12] >> 4U);
      if (start >= header + 24 && ip[header + 20] == 2) p.mss = get16(ip, header + 22);
    }
  }
  if (start < ip.size()) {
    p.payload.assign(ip.begin() + static_cast<ptrdiff_t>(start), ip.end());
  } else {
    p.payload.clear();
  }
  return p;
}

std::string NatNetwork::rules(const std::string& rest) {
  return fmt::format(
      R"({{"outboundRules":[{{"name":"all","sourcePrefixes":["10.0.0.0/16"],"pool":"shared"}}]{}{}}})",
      rest.empty() ? "" : ",", rest);
}

NatNetwork::NatNetwork(const std::string& pool_options)
    : network_(std::make_unique<TestDataplane>(twin_ports())) {
  network_->change(twin_requests());
  network_->change(
      {{"externalNetworks/internet",
        R"({"port":"wan0","vlanId":40,"ipAddresses":["203.0.113.1/24","2001:db8:40::1/64"],
            "routes":[{"destinationPrefix":"0.0.0.0/0","nextHop":"203.0.113.254","metric":1},
                      {"destinationPrefix":"0.0.0.0/0","nextHop":"203.0.113.253","metric":2},
                      {"destinationPrefix":"::/0","nextHop":"2001:db8:40::fe"}],
            "publicAddressPrefixes":["198.51.100.0/24","203.0.113.128/25","2001:db8:99::/64"]})"},
       {"publicIPAddresses/shared",
        fmt::format(
            R"({{"externalNetwork":"internet","publicIPAddresses":["198.51.100.4/30"]{}{}}})",
            pool_options.empty() ? "" : ",", pool_options)}});
  for (const Tenant& tenant : kTwins) nat(tenant, rules());
  network_->answer_all();
  line_ = std::make_unique<TestLine>(*network_);
}

void NatNetwork::nat(const Tenant& tenant, const std::string& body) {
  network_->change({{"routingDomains/" + tenant.name + "/nat", body}});
}

void NatNetwork::add_vms(const Tenant& tenant, unsigned first, unsigned last) {
  std::vector<TestRequest> requests;
  for (unsigned vm = first; vm <= last; ++vm) {
    requests.push_back(
        {fmt::format("routingDomains/{}/virtualSubnets/web/lookupRecords/10.0.1.{}", tenant.name,
                     vm),
         fmt::format(R"({{"customerAddress":"10.0.1.{}","providerAddress":"10.250.0.11",
                          "macAddress":"00:15:5d:01:01:{:02x}","type":"Static"}})",
                     vm, vm)});
  }
  network_->change(requests);
}

std::vector<NatSeen> NatNetwork::sort(const std::vector<Sent>& sent) const {
  std::vector<NatSeen> out;
  for (const auto& [port, frame] : sent) {
    NatSeen seen;
    seen.where = "elsewhere";
    const uint16_t type = get16(frame, 12);
    if (port == kWanPort && type == 0x8100 && (get16(frame, 14) & 0xfff) == kInternetVlan) {
      if (get16(frame, 16) != 0x0800) continue;
      seen.where = "internet";
      seen.packet = parse_packet(Bytes(frame.begin() + 18, frame.end()), seen.fault);
    } else if (port == kFabricPort && type == 0x0800 && frame[23] == 47) {
      const uint32_t vsid = static_cast<uint32_t>(get16(frame, 38)) << 8 | frame[40];
      for (const Tenant& tenant : kTwins) {
        if (vsid >= tenant.gateway && vsid <= tenant.six) seen.where = tenant.name;
      }
      if (get16(frame, 54) != 0x0800) continue;
      seen.packet = parse_packet(Bytes(frame.begin() + 56, frame.end()), seen.fault);
    }
    out.push_back(std::move(seen));
  }
  return out;
}

std::vector<NatSeen> NatNetwork::from_vm(const Tenant& tenant, const NatPacket& packet) {
  return bytes_from_vm(tenant, packet.bytes());
}

std::vector<NatSeen> NatNetwork::bytes_from_vm(const Tenant& tenant, const Bytes& ip) {
  const std::string from = text(static_cast<uint32_t>(get16(ip, 12)) << 16 | get16(ip, 14));
  const bool second = from == "10.0.1.12" || from == "10.0.2.21";
  const std::string host = second ? "10.250.0.12" : "10.250.0.11";
  const auto inner =
      eth(kGatewayMac, kRouterMac).with([](EthLayer& l) { l.type = uint16_t{0x0800}; });
  return sort(line_->run(kFabricPort, fabric(host) / gre(tenant.gateway) / inner / raw(ip)));
}

std::vector<NatSeen> NatNetwork::from_internet(const NatPacket& packet) {
  return bytes_from_internet(packet.bytes());
}

std::vector<NatSeen> NatNetwork::bytes_from_internet(const Bytes& ip) {
  const auto tag = vlan(kInternetVlan).with([](VlanLayer& l) { l.type = uint16_t{0x0800}; });
  return sort(line_->run(kWanPort, Frame(eth(kWanMac, "02:aa:cb:00:71:fe")) / tag / raw(ip)));
}

std::vector<NatSeen> NatNetwork::breathe() { return sort(line_->breathe()); }

std::vector<NatSeen> NatNetwork::wait(Duration time) {
  constexpr int kSteps = 20;
  std::vector<NatSeen> out;
  for (int i = 0; i < kSteps; ++i) {
    network_->clock().advance(time / kSteps);
    for (int breath = 0; breath < 3; ++breath) {
      for (NatSeen& seen : breathe()) out.push_back(std::move(seen));
    }
  }
  return out;
}

namespace {
NatPacket the_one(const std::vector<NatSeen>& seen) {
  if (seen.size() != 1) {
    std::string what;
    for (const NatSeen& one : seen) {
      what += fmt::format(" {} {}:{}>{}:{}", one.where, one.packet.from, one.packet.from_port,
                          one.packet.to, one.packet.to_port);
    }
    die(fmt::format("{} packets came out, not one:{}", seen.size(), what));
  }
  if (!seen[0].fault.empty()) die(seen[0].fault);
  return seen[0].packet;
}
}  // namespace

NatPacket NatNetwork::one_from_vm(const Tenant& tenant, const NatPacket& packet) {
  return the_one(from_vm(tenant, packet));
}
NatPacket NatNetwork::one_from_internet(const NatPacket& packet) {
  return the_one(from_internet(packet));
}

NatPacket with(NatPacket packet, uint8_t flags) {
  packet.flags = flags;
  return packet;
}

NatPacket connect(NatNetwork& net, const Tenant& tenant, const NatPacket& syn) {
  NatPacket out = net.one_from_vm(tenant, syn);
  if (net.one_from_internet(answer(out, kSynAck)).to != syn.from) die("the answer went elsewhere");
  if (source_of(net.one_from_vm(tenant, with(syn, kAck))) != source_of(out)) {
    die("the connection moved to another public endpoint");
  }
  return out;
}

NatPhase phase(NatNetwork& net) {
  const NatSession& session = net.table().at(0);
  return phase_of(session.protocol, session.state);
}

}  // namespace hnv
