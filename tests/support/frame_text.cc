// SPDX-License-Identifier: Apache-2.0
#include "tests/support/frame_text.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "compartments/address.h"

namespace hnv {
namespace {

// Reads from the front; what is missing reads as nothing.
class Reader {
 public:
  Reader(std::span<const uint8_t> bytes, std::vector<Field>& out) : left_(bytes), out_(out) {}

  [[nodiscard]] bool has(size_t n) const { return left_.size() >= n; }
  [[nodiscard]] size_t left() const { return left_.size(); }
  uint32_t number(size_t bytes) {
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value = value << 8 | left_[i];
    left_ = left_.subspan(bytes);
    return value;
  }
  uint32_t field(const std::string& name, size_t bytes, bool hex = false) {
    const uint32_t value = number(bytes);
    add(name, hex ? fmt::format("{:#x}", value) : fmt::format("{}", value));
    return value;
  }
  void address(const std::string& name) { add(name, address_text::format4(number(4))); }
  void address6(const std::string& name) {
    std::array<uint8_t, 16> bytes{};
    std::copy_n(left_.begin(), 16, bytes.begin());
    left_ = left_.subspan(16);
    add(name, address_text::format6(bytes));
  }
  void mac(const std::string& name) {
    MacAddress::Bytes bytes{};
    std::copy_n(left_.begin(), 6, bytes.begin());
    left_ = left_.subspan(6);
    add(name, MacAddress(bytes).to_string());
  }
  void rest(const std::string& name, size_t most) {
    const size_t n = std::min(most, left_.size());
    std::string hex;
    for (const uint8_t byte : left_.first(n)) hex += fmt::format("{:02x}", byte);
    left_ = left_.subspan(n);
    if (n > 0) add(name + fmt::format(" ({} bytes)", n), hex);
  }
  void add(const std::string& name, std::string value) { out_.push_back({name, std::move(value)}); }

 private:
  std::span<const uint8_t> left_;
  std::vector<Field>& out_;
};

void read_ethernet(Reader& in, const std::string& prefix);

// Shown with the same care as IPv4; extension headers as bytes.
void read_ip6(Reader& in, const std::string& prefix) {
  if (!in.has(40)) return in.rest(prefix + "ip6", 40);
  in.field(prefix + "ip6.version_class_flow", 4, true);
  in.field(prefix + "ip6.payload_length", 2);
  const uint32_t protocol = in.field(prefix + "ip6.next_header", 1);
  in.field(prefix + "ip6.hop_limit", 1);
  in.address6(prefix + "ip6.source");
  in.address6(prefix + "ip6.destination");
  if (protocol == 47 && in.has(8)) {
    in.field(prefix + "gre.flags", 2, true);
    in.field(prefix + "gre.protocol", 2, true);
    in.field(prefix + "gre.vsid", 3);
    in.field(prefix + "gre.flow_id", 1);
    return read_ethernet(in, prefix + "inner.");
  }
  if (protocol == 58 && in.has(8)) {
    const uint32_t type = in.field(prefix + "icmp6.type", 1);
    in.field(prefix + "icmp6.code", 1);
    in.field(prefix + "icmp6.checksum", 2, true);
    in.field(prefix + "icmp6.word", 4, true);
    if ((type == 135 || type == 136) && in.has(16)) in.address6(prefix + "nd.target");
    if (type >= 1 && type <= 4) read_ip6(in, prefix + "icmp6.quoted.");
  }
  if ((protocol == 6 || protocol == 17) && in.has(4)) {
    in.field(prefix + "port.source", 2);
    in.field(prefix + "port.destination", 2);
  }
}

void read_ip(Reader& in, const std::string& prefix) {
  if (!in.has(20)) return in.rest(prefix + "ip", 20);
  const uint32_t version_ihl = in.field(prefix + "ip.version_ihl", 1, true);
  in.field(prefix + "ip.tos", 1, true);
  in.field(prefix + "ip.total_length", 2);
  in.field(prefix + "ip.id", 2);
  const uint32_t fragment = in.field(prefix + "ip.fragment", 2, true);
  in.field(prefix + "ip.ttl", 1);
  const uint32_t protocol = in.field(prefix + "ip.protocol", 1);
  in.field(prefix + "ip.checksum", 2, true);
  in.address(prefix + "ip.source");
  in.address(prefix + "ip.destination");
  const size_t header = size_t{version_ihl & 15U} * 4;
  if (header > 20) in.rest(prefix + "ip.options", header - 20);
  if ((fragment & 0x1fffU) != 0) return;
  if (protocol == 47 && in.has(8)) {
    in.field(prefix + "gre.flags", 2, true);
    in.field(prefix + "gre.protocol", 2, true);
    in.field(prefix + "gre.vsid", 3);
    in.field(prefix + "gre.flow_id", 1);
    return read_ethernet(in, prefix + "inner.");
  }
  if (protocol == 1 && in.has(8)) {
    const uint32_t type = in.field(prefix + "icmp.type", 1);
    in.field(prefix + "icmp.code", 1);
    in.field(prefix + "icmp.checksum", 2, true);
    in.field(prefix + "icmp.word0", 2);
    in.field(prefix + "icmp.word1", 2);
    if (type == 3 || type == 11) read_ip(in, prefix + "icmp.quoted.");
  }
  if ((protocol == 6 || protocol == 17) && in.has(4)) {
    in.field(prefix + "port.source", 2);
    in.field(prefix + "port.destination", 2);
  }
}

void read_arp(Reader& in, const std::string& prefix) {
  if (!in.has(28)) return;
  in.field(prefix + "arp.hardware_type", 2);
  in.field(prefix + "arp.protocol_type", 2, true);
  in.field(prefix + "arp.sizes", 2, true);
  in.field(prefix + "arp.operation", 2);
  in.mac(prefix + "arp.sender_mac");
  in.address(prefix + "arp.sender_ip");
  in.mac(prefix + "arp.target_mac");
  in.address(prefix + "arp.target_ip");
}

void read_ethernet(Reader& in, const std::string& prefix) {
  if (!in.has(14)) return;
  in.mac(prefix + "eth.destination");
  in.mac(prefix + "eth.source");
  uint32_t type = in.field(prefix + "eth.type", 2, true);
  if (type == 0x8100 && in.has(4)) {
    in.field(prefix + "vlan.tci", 2);
    type = in.field(prefix + "vlan.type", 2, true);
  }
  if (type == 0x0800) read_ip(in, prefix);
  if (type == 0x86dd) read_ip6(in, prefix);
  if (type == 0x0806) read_arp(in, prefix);
}

}  // namespace

std::vector<Field> fields_of(std::span<const uint8_t> frame) {
  std::vector<Field> out;
  Reader in(frame, out);
  read_ethernet(in, "");
  in.rest("payload", in.left());
  return out;
}

std::string difference(std::span<const uint8_t> expected, std::span<const uint8_t> actual) {
  if (std::ranges::equal(expected, actual)) return "";
  const auto left = fields_of(expected);
  const auto right = fields_of(actual);
  std::string out = fmt::format("  {:<28} {:<24} {}\n", "field", "expected", "actual");
  for (size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
    static const Field kMissing{"", "-"};
    const Field& l = i < left.size() ? left[i] : kMissing;
    const Field& r = i < right.size() ? right[i] : kMissing;
    const std::string name = l.name == r.name || r.name.empty() ? l.name : l.name + " / " + r.name;
    const bool same = l.name == r.name && l.value == r.value;
    out += fmt::format("{} {:<28} {:<24} {}\n", same ? ' ' : '!', name, l.value, r.value);
  }
  return out;
}

}  // namespace hnv
