// SPDX-License-Identifier: Apache-2.0
//
// The twin tenants' network with an internet and NAT, spoken to in packets with right checksums:
//
//   wan0 VLAN 40 "internet": own 203.0.113.1/24 and 2001:db8:40::1/64, default via .254 (else .253)
//                and via ::fe; public prefixes 198.51.100.0/24 and 2001:db8:99::/64 (routed to us)
//                and 203.0.113.128/25 (on-link)
//   pool "shared"  198.51.100.1..4 (a /30 from .4: .4 to .7), both tenants
//   both tenants:  all of 10.0.0.0/16 goes out by it
//
// What comes out is sorted by where it went, and its checksums are verified.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/twin_tenants.h"

namespace hnv {

inline constexpr uint16_t kInternetVlan = 40;

// An IPv4 packet as a test speaks of it.
struct NatPacket {
  std::string from, to;
  uint16_t from_port = 0, to_port = 0;  // ICMP queries: from_port is the identifier
  uint8_t protocol = 17;
  uint8_t flags = 2;      // TCP: SYN
  uint8_t icmp_type = 8;  // ICMP
  uint8_t icmp_code = 0;
  uint16_t icmp_mtu = 0;
  Bytes payload = Bytes(18, 0x61);  // ICMP errors: the packet quoted
  uint8_t ttl = 64;
  uint8_t tos = 0;
  uint16_t id = 0x1234;
  uint16_t fragment = 0;  // as it lies in the header
  Bytes options{};        // IP options, a multiple of four bytes
  std::optional<uint16_t> mss{};
  bool without_checksum = false;  // UDP

  [[nodiscard]] Bytes bytes() const;
};
[[nodiscard]] NatPacket nat_udp(std::string from, uint16_t from_port, std::string to,
                                uint16_t to_port);
[[nodiscard]] NatPacket nat_tcp(std::string from, uint16_t from_port, std::string to,
                                uint16_t to_port, uint8_t flags = 2);
[[nodiscard]] NatPacket nat_echo(std::string from, std::string to, uint16_t id);
// The answer to a packet as it was seen.
[[nodiscard]] NatPacket reply_to(const NatPacket& seen);
// An ICMP error of `from` about a packet as it was seen there.
[[nodiscard]] NatPacket error_about(const NatPacket& seen, std::string from, uint8_t type,
                                    uint8_t code, uint16_t mtu = 0);

// The packet that an IP header begins; dies when it is none. `fault` says which checksum is wrong.
[[nodiscard]] NatPacket parse_packet(const Bytes& ip, std::string& fault);

struct NatSeen {
  std::string where;  // "internet", "contoso", "fabrikam", "elsewhere"
  NatPacket packet;
  std::string fault;  // of its checksums
};

class NatNetwork {
 public:
  explicit NatNetwork(const std::string& pool_options = "");

  // Sends it (from 10.0.1.12 or 10.0.2.21 by the host they are on, else by .11's), breathes until
  // nothing moves, says what came out.
  std::vector<NatSeen> from_vm(const Tenant& tenant, const NatPacket& packet);
  std::vector<NatSeen> from_internet(const NatPacket& packet);
  // The same with an IP packet as it is, right or wrong.
  std::vector<NatSeen> bytes_from_vm(const Tenant& tenant, const Bytes& ip);
  std::vector<NatSeen> bytes_from_internet(const Bytes& ip);
  // The one packet that came out; dies, with what there was, when it is not exactly one.
  NatPacket one_from_vm(const Tenant& tenant, const NatPacket& packet);
  NatPacket one_from_internet(const NatPacket& packet);
  std::vector<NatSeen> breathe();
  // Time passes, in steps, with breaths.
  std::vector<NatSeen> wait(Duration time);

  void nat(const Tenant& tenant, const std::string& body);
  // Machines 10.0.1.first … 10.0.1.last, on the host of 10.0.1.11.
  void add_vms(const Tenant& tenant, unsigned first, unsigned last);
  void change(const std::vector<TestRequest>& requests) { network_->change(requests); }
  [[nodiscard]] TestDataplane& network() { return *network_; }
  [[nodiscard]] TestLine& line() { return *line_; }
  [[nodiscard]] NatTable& table() { return line_->line().nat().table; }
  [[nodiscard]] uint64_t drops(DropReason reason) { return line_->drops(reason); }
  // Ledger, buffers; "" when all is well.
  [[nodiscard]] std::string fault() { return line_->fault(); }

  static std::string rules(const std::string& rest = "");  // the default body, with more in it

 private:
  std::vector<NatSeen> sort(const std::vector<Sent>& sent) const;

  std::unique_ptr<TestDataplane> network_;
  std::unique_ptr<TestLine> line_;
};

// TCP as the tests speak it.
inline constexpr uint8_t kFin = 17, kSyn = 2, kSynAck = 18, kAck = 16, kRst = 4;  // FIN with ACK
[[nodiscard]] NatPacket with(NatPacket packet, uint8_t flags);
[[nodiscard]] inline NatPacket answer(const NatPacket& seen, uint8_t flags) {
  return with(reply_to(seen), flags);
}
// The three-way handshake, from inside; returns the SYN as it was seen outside.
NatPacket connect(NatNetwork& net, const Tenant& tenant, const NatPacket& syn);
// Of the table's first session.
[[nodiscard]] NatPhase phase(NatNetwork& net);

using Endpoint = std::pair<std::string, uint16_t>;
[[nodiscard]] inline Endpoint source_of(const NatPacket& packet) {
  return {packet.from, packet.from_port};
}

}  // namespace hnv
