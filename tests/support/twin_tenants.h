// SPDX-License-Identifier: Apache-2.0
//
// Two tenants that nothing but the wire's VSID, VLAN or gateway MAC tells apart, and a line that
// runs every scene for both: first contoso's packets, then fabrikam's, and after each the other
// tenant's counters stand still, the ledger balances and no buffer is lost.
//
//   fabric 10.250.0.0/24 (PA .1, .2), 10.251/16 via .254      wan0
//     host1 .11  host2 .12  another gateway .77                 VLAN 30 shared "campus"
//   VLAN 50 "tagged" 10.252.0.0/24 (PA .1), FlowID zero         VLAN 31 / 32 "private" of each
//     host3 .13
//
//   VLAN 60 "six" fd60::/64 (PA ::1), fd61::/64 via fd60::fe, FlowID zero there
//     host4 fd60::11  host5 fd61::12  another gateway fd60::77
//   each tenant:  gateway 10.0.0.0/24 (own .2; wildcard: the other gateway)       VSID x000
//                 web     10.0.1.0/24 (VMs .11 host1, .12 host2, .13 remote)      VSID x001
//                 db      10.0.2.0/24 (router gateway: own .1; .21 host2; MTU 1400)   x002
//                 far     10.0.3.0/24 (.31 host3, on the tagged fabric)               x003
//                 six     10.0.4.0/24 and fd10:0:0:4::/64 (router gateway; .41, ::41 host4, ::42
//                         host5; wildcard: the other gateway)                        x004
//                 of IPv6 too: gateway fd10::/64 (own ::2), web fd10:0:0:1::/64 (::11, ::12),
//                         db fd10:0:0:2::/64 (own ::1; ::21), private fd07::/64 (peer ::fe for
//                         fd16::/32), shared fd09::/64; fd21::/32 via web's ::12, fd20::/32 via
//                         six's
//                         ::77, whom only the wildcard knows
//                 private 192.168.7.0/24 (own .1, peer .254 for 172.16.0.0/16)
//                 shared  192.168.9.0/24 (own .1), strict
//                 172.20.0.0/16 via 10.0.0.77, 172.21.0.0/16 via 10.0.1.12, 172.22/16 via 10.0.1.99
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gateway/line.h"
#include "tests/support/frame.h"
#include "tests/support/test_dataplane.h"

namespace hnv {

struct Tenant {
  std::string name;
  uint32_t gateway = 0, web = 0, db = 0, far = 0, six = 0;  // VSIDs
  uint16_t private_vlan = 0;
  std::string shared_mac;
};
inline const Tenant kContoso{"contoso", 5000, 5001, 5002, 5003, 5004, 31, "02:00:00:00:00:c1"};
inline const Tenant kFabrikam{"fabrikam", 6000, 6001, 6002, 6003, 6004, 32, "02:00:00:00:00:c2"};
inline const Tenant kTwins[] = {kContoso, kFabrikam};

inline constexpr unsigned kFabricPort = 0, kWanPort = 1;
inline constexpr const char* kFabricMac = "02:00:00:00:00:f0";
inline constexpr const char* kWanMac = "02:00:00:00:00:f1";
inline constexpr const char* kGatewayMac = "02:00:00:00:00:01";  // inside NVGRE
inline constexpr const char* kPrivateMac = "02:00:00:00:00:c0";
inline constexpr const char* kRouterMac = "00:15:5d:00:00:01";  // the hosts' distributed router
inline constexpr const char* kVm11Mac = "00:15:5d:01:00:11";
inline constexpr const char* kVm12Mac = "00:15:5d:01:00:12";
inline constexpr const char* kVm13Mac = "00:15:5d:01:00:13";
inline constexpr const char* kVm21Mac = "00:15:5d:02:00:21";
inline constexpr const char* kVm31Mac = "00:15:5d:03:00:31";
inline constexpr const char* kVm41Mac = "00:15:5d:04:00:41";
inline constexpr const char* kVm42Mac = "00:15:5d:04:00:42";
inline constexpr const char* kL2Mac = "00:15:5d:01:00:33";
inline constexpr const char* kOtherGatewayMac = "02:00:00:00:00:77";
inline constexpr const char* kPeerMac = "02:aa:c0:a8:07:fe";  // of 192.168.7.254

// Requests that make the network above.
[[nodiscard]] std::vector<TestPort> twin_ports();
[[nodiscard]] std::vector<TestRequest> twin_requests();
// The network itself, every neighbour resolved.
[[nodiscard]] std::unique_ptr<TestDataplane> twin_dataplane(unsigned workers);

// --- frames that come in ---
// Outer headers of a frame from a host to our first PA; the MACs are nobody's business.
[[nodiscard]] Frame fabric(const std::string& from = "10.250.0.11",
                           const std::string& to = "10.250.0.1");
[[nodiscard]] Frame tagged_fabric(const std::string& from = "10.252.0.13");
[[nodiscard]] Frame fabric6(const std::string& from = "fd60::11",
                            const std::string& to = "fd60::1");
// GRE and the inner Ethernet header as a host that has routed the packet writes them.
[[nodiscard]] Frame nvgre(uint32_t vsid, const std::string& source_mac = kRouterMac,
                          const std::string& destination_mac = kGatewayMac);
// The tenants' own packets.
[[nodiscard]] Frame vm_udp(const std::string& from = "10.0.1.11",
                           const std::string& to = "10.0.1.12");
[[nodiscard]] Frame vm_udp6(const std::string& from = "fd10:0:0:1::11",
                            const std::string& to = "fd10:0:0:1::12");
// A frame of the tenant's private or shared physical network.
[[nodiscard]] Frame private_net(const Tenant& tenant, const std::string& source_mac = kPeerMac);
[[nodiscard]] Frame shared_net(const Tenant& tenant, const std::string& source_mac = kPeerMac);

// --- frames that go out ---
// As the gateway sends to a VM: outer and inner headers in full.
struct ToVm {
  std::string host = "10.250.0.12";
  std::string vm_mac = kVm12Mac;
  uint32_t vsid = 0;
  uint8_t flow_id = 0;
  std::string neighbor{};  // outer destination, when it is not the host itself
  std::string from = "10.250.0.1";
  uint16_t vlan = 0;
};
[[nodiscard]] Frame to_vm(const ToVm& to);
// The same over the IPv6 fabric, with the inner packet that the flow label and the FlowID are of.
struct ToVm6 {
  std::string host = "fd60::11";
  std::string vm_mac = kVm41Mac;
  uint32_t vsid = 0;
  std::string neighbor{};
  bool zero_flow_id = false;
};
[[nodiscard]] Frame to_vm6(const ToVm6& to, const Frame& inner);
// The hash of the packet's flow, and the FlowID that is its top byte.
[[nodiscard]] uint32_t flow_hash(const Frame& inner_ip);
[[nodiscard]] uint8_t flow_of(const Frame& inner_ip);

struct Sent {
  unsigned port = 0;
  Bytes frame;
};

// One Line over one TestDataplane, breathing by hand.
class TestLine {
 public:
  TestLine();
  explicit TestLine(TestDataplane& network);

  // One breath over these frames, and more while answers wait inside; what was sent.
  std::vector<Sent> run(const std::vector<Sent>& in);
  std::vector<Sent> run(unsigned port, const Frame& frame) { return run({{port, frame.bytes()}}); }
  // Exactly one breath over packets put in by receive(); outboxes are emptied.
  void receive(unsigned port, const Bytes& frame);
  std::vector<Sent> breathe();
  // As breathe, but only `taken` of each port's packets and punts are accepted.
  std::vector<Sent> breathe_taking(unsigned taken);

  [[nodiscard]] std::vector<Bytes>& punts() { return punts_; }
  [[nodiscard]] std::vector<SideNote>& notes() { return notes_; }
  [[nodiscard]] Line& line() { return line_; }
  [[nodiscard]] FakeMbufs& mbufs() { return mbufs_; }
  [[nodiscard]] TestDataplane& network() { return *network_; }
  [[nodiscard]] uint64_t drops(DropReason reason) {
    return line_.counters().drops[static_cast<size_t>(reason)].value();
  }
  // Buffers: none but what is held. Ledger: balanced. What is wrong, or "".
  [[nodiscard]] std::string fault();

 private:
  std::unique_ptr<TestDataplane> own_;
  TestDataplane* network_;
  FakeMbufs mbufs_;
  Line line_;
  std::vector<Bytes> punts_;
  std::vector<SideNote> notes_;
};

// All counters of a tenant, to see that nothing moved.
[[nodiscard]] std::vector<uint64_t> picture(const CompartmentCounters& counters);
// "reason: n" for every drop counter that differs.
[[nodiscard]] std::string moved_drops(const WorkerCounters& before, const WorkerCounters& after);

}  // namespace hnv
