// SPDX-License-Identifier: Apache-2.0
#include "tests/support/twin_tenants.h"

#include <fmt/format.h>

#include "gateway/encapsulate.h"

namespace hnv {
namespace {

constexpr const char* kHostMac = "02:aa:0a:fa:00:0b";

IpLayer outer(const std::string& from, const std::string& to) {
  return ip(from, to).with([](IpLayer& l) { l.protocol = 47; });
}

}  // namespace

std::unique_ptr<TestDataplane> twin_dataplane(unsigned workers) {
  auto network = std::make_unique<TestDataplane>(twin_ports(), workers);
  network->change(twin_requests());
  network->answer_all();
  return network;
}

Frame fabric(const std::string& from, const std::string& to) {
  return Frame(eth(kFabricMac, kHostMac)) / outer(from, to);
}
Frame tagged_fabric(const std::string& from) {
  return Frame(eth(kFabricMac, kHostMac)) / vlan(50) / outer(from, "10.252.0.1");
}
Frame fabric6(const std::string& from, const std::string& to) {
  return Frame(eth(kFabricMac, kHostMac)) / vlan(60) / ip6(from, to);
}
Frame vm_udp6(const std::string& from, const std::string& to) {
  return Frame(ip6(from, to)) / udp(1000, 2000) / payload(18);
}
Frame to_vm6(const ToVm6& to, const Frame& inner) {
  const std::string neighbor = to.neighbor.empty() ? to.host : to.neighbor;
  const uint32_t hash = inner.layers().empty() ? 0 : flow_hash(inner);
  const uint8_t flow_id = to.zero_flow_id ? uint8_t{0} : static_cast<uint8_t>(hash >> 24);
  const uint32_t label = hash >> 12 == 0 ? 1 : hash >> 12;
  return Frame(eth(TestDataplane::mac_of(*LinkAddress::parse(neighbor)), kFabricMac)) / vlan(60) /
         ip6("fd60::1", to.host).with([&](Ip6Layer& l) { l.flow_label = label; }) /
         gre(to.vsid, flow_id) / eth(to.vm_mac, kGatewayMac) / inner;
}
Frame nvgre(uint32_t vsid, const std::string& source_mac, const std::string& destination_mac) {
  return Frame(gre(vsid, 0x5a)) / eth(destination_mac, source_mac);
}
Frame vm_udp(const std::string& from, const std::string& to) {
  return Frame(ip(from, to)) / udp(1000, 2000) / payload(18);
}
Frame private_net(const Tenant& tenant, const std::string& source_mac) {
  return Frame(eth(kPrivateMac, source_mac)) / vlan(tenant.private_vlan);
}
Frame shared_net(const Tenant& tenant, const std::string& source_mac) {
  return Frame(eth(tenant.shared_mac, source_mac)) / vlan(30);
}

Frame to_vm(const ToVm& to) {
  const std::string neighbor = to.neighbor.empty() ? to.host : to.neighbor;
  Frame frame(eth(TestDataplane::mac_of(ip4(neighbor)), kFabricMac));
  if (to.vlan != 0) frame = frame / vlan(to.vlan);
  return frame / outer(to.from, to.host).with([](IpLayer& l) { l.fragment = 0x4000; }) /
         gre(to.vsid, to.flow_id) / eth(to.vm_mac, kGatewayMac);
}

uint32_t flow_hash(const Frame& inner_ip) {
  const Bytes bytes = inner_ip.bytes();
  if (bytes[0] >> 4 == 6) return flow_of(*reinterpret_cast<const wire::Ipv6*>(bytes.data()));
  if (bytes[0] >> 4 != 4) return 0;
  return flow_of(*reinterpret_cast<const wire::Ipv4*>(bytes.data()),
                 static_cast<uint32_t>(bytes.size()));
}
uint8_t flow_of(const Frame& inner_ip) { return static_cast<uint8_t>(flow_hash(inner_ip) >> 24); }

TestLine::TestLine() : own_(twin_dataplane(1)), network_(own_.get()), line_(0, 2) {}
TestLine::TestLine(TestDataplane& network) : network_(&network), line_(0, 2) {}

void TestLine::receive(unsigned port, const Bytes& frame) {
  line_.receive(mbufs_.take(frame), PortId(port));
}

std::vector<Sent> TestLine::breathe() { return breathe_taking(kVector); }

std::vector<Sent> TestLine::breathe_taking(unsigned taken) {
  line_.run(network_->plane(), network_->clock().now());
  std::vector<Sent> out;
  for (unsigned port = 0; port < 2; ++port) {
    Line::Outbox& box = line_.outbox(port);
    const unsigned count = std::min(box.count, taken);
    std::vector<rte_mbuf*> sent(box.packets.begin(), box.packets.begin() + count);
    line_.sent(port, count);
    for (rte_mbuf* mbuf : sent) {
      const auto frame = bytes_of(*mbuf);
      out.push_back({port, Bytes(frame.begin(), frame.end())});
      rte_pktmbuf_free(mbuf);
    }
  }
  Line::Outbox& box = line_.punts();
  const unsigned count = std::min(box.count, taken);
  std::vector<rte_mbuf*> sent(box.packets.begin(), box.packets.begin() + count);
  line_.punted(count);
  for (rte_mbuf* mbuf : sent) {
    const auto frame = bytes_of(*mbuf);
    punts_.emplace_back(frame.begin(), frame.end());
    notes_.push_back(side_note(*mbuf));
    rte_pktmbuf_free(mbuf);
  }
  return out;
}

std::vector<Sent> TestLine::run(const std::vector<Sent>& in) {
  for (const Sent& sent : in) receive(sent.port, sent.frame);
  std::vector<Sent> out = breathe();
  // An answer re-enters once; nothing may need more than these.
  for (int i = 0; i < 3; ++i) {
    for (Sent& sent : breathe()) out.push_back(std::move(sent));
  }
  return out;
}

std::string TestLine::fault() {
  const LedgerSums sums = sum(line_.counters(), line_.held());
  if (!sums.balanced()) {
    return fmt::format("ledger: {} in, {} out, {} held", sums.in, sums.out, sums.held);
  }
  if (mbufs_.in_use() != line_.held()) {
    return fmt::format("{} buffers in use, {} held", mbufs_.in_use(), line_.held());
  }
  return "";
}

std::vector<uint64_t> picture(const CompartmentCounters& c) {
  std::vector<uint64_t> out;
  for (const Counter* n :
       {&c.in_packets, &c.in_bytes, &c.out_packets, &c.out_bytes, &c.l3_in_packets, &c.l3_in_bytes,
        &c.l3_out_packets, &c.l3_out_bytes, &c.originated, &c.moved_record_packets}) {
    out.push_back(n->value());
  }
  for (const Counter& n : c.drops) out.push_back(n.value());
  return out;
}

std::string moved_drops(const WorkerCounters& before, const WorkerCounters& after) {
  std::string out;
  for (size_t i = 0; i < kDropReasons; ++i) {
    const uint64_t n = after.drops[i].value() - before.drops[i].value();
    if (n == 0) continue;
    if (!out.empty()) out += ", ";
    out += fmt::format("{}: {}", to_string(static_cast<DropReason>(i)), n);
  }
  return out;
}

}  // namespace hnv
