// SPDX-License-Identifier: Apache-2.0
#include "tests/support/frame.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include <fmt/format.h>

#include "compartments/address.h"

namespace hnv {
namespace {

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "Frame: %s\n", why.c_str());
  std::abort();
}

// Built from the inside out: what a layer needs to know of what follows it.
struct Inner {
  Bytes bytes;
  uint16_t ether_type = 0;
  uint8_t ip_protocol = 17;
  // A checksum that waits for IPv6's pseudo header: where the message begins in `bytes`, and where
  // it has its checksum.
  struct Waiting {
    size_t message = 0;
    size_t checksum = 2;
    uint8_t protocol = 58;
  };
  std::optional<Waiting> waiting{};
};

class Writer {
 public:
  Writer& u8(uint8_t v) {
    out_.push_back(v);
    return *this;
  }
  Writer& u16(uint16_t v) { return u8(static_cast<uint8_t>(v >> 8)).u8(static_cast<uint8_t>(v)); }
  Writer& u32(uint32_t v) {
    return u16(static_cast<uint16_t>(v >> 16)).u16(static_cast<uint16_t>(v));
  }
  Writer& mac(const std::string& text) {
    const auto address = MacAddress::parse(text);
    if (!address) die("no MAC address: " + text);
    out_.insert(out_.end(), address->bytes().begin(), address->bytes().end());
    return *this;
  }
  Writer& address(const std::string& text) { return u32(ip4(text)); }
  Writer& address6(const std::string& text) {
    const auto address = ip6_bytes(text);
    out_.insert(out_.end(), address.begin(), address.end());
    return *this;
  }
  Writer& bytes(const Bytes& b) {
    out_.insert(out_.end(), b.begin(), b.end());
    return *this;
  }
  void put16(size_t at, uint16_t v) {
    out_[at] = static_cast<uint8_t>(v >> 8);
    out_[at + 1] = static_cast<uint8_t>(v);
  }
  [[nodiscard]] Bytes take() { return std::move(out_); }
  [[nodiscard]] const Bytes& view() const { return out_; }

 private:
  Bytes out_;
};

// Plain and slow on purpose: another way than the product's.
uint16_t internet_checksum(const Bytes& bytes, uint32_t sum = 0) {
  for (size_t i = 0; i < bytes.size(); ++i)
    sum += (i % 2 == 0) ? uint32_t{bytes[i]} << 8 : bytes[i];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

Inner wrap(const EthLayer& l, const Inner& in) {
  Writer w;
  w.mac(l.destination).mac(l.source);
  // A tag brings TPID, TCI and type itself.
  if (in.ether_type != 0xffff) w.u16(l.type.value_or(in.ether_type));
  return {w.bytes(in.bytes).take(), 0x6558, 97};
}
Inner wrap(const VlanLayer& l, const Inner& in) {
  Writer w;
  w.u16(l.tpid).u16(l.tci);
  if (in.ether_type != 0xffff) w.u16(l.type.value_or(in.ether_type));
  return {w.bytes(in.bytes).take(), 0xffff, 0};
}
Inner wrap(const IpLayer& l, const Inner& in) {
  Writer w;
  const size_t header = 20 + l.options.size();
  w.u8(l.version_ihl.value_or(static_cast<uint8_t>(0x40 | header / 4))).u8(l.tos);
  w.u16(l.total_length.value_or(static_cast<uint16_t>(header + in.bytes.size())));
  w.u16(l.id).u16(l.fragment).u8(l.ttl).u8(l.protocol.value_or(in.ip_protocol)).u16(0);
  w.address(l.source).address(l.destination).bytes(l.options);
  w.put16(10, l.checksum.value_or(internet_checksum(w.view())));
  return {w.bytes(in.bytes).take(), 0x0800, 4};
}
Inner wrap(const GreLayer& l, const Inner& in) {
  Writer w;
  w.u16(l.flags).u16(l.protocol).u32(l.vsid << 8 | l.flow_id).bytes(in.bytes);
  return {w.take(), 0, 47};
}
Inner wrap(const UdpLayer& l, const Inner& in) {
  Writer w;
  // No pseudo header is at hand here. Over IPv4 it stays at "none".
  w.u16(l.source).u16(l.destination).u16(static_cast<uint16_t>(8 + in.bytes.size()));
  w.u16(0).bytes(in.bytes);
  return {w.take(), 0, 17, Inner::Waiting{.checksum = 6, .protocol = 17}};
}
Inner wrap(const TcpLayer& l, const Inner& in) {
  Writer w;
  w.u16(l.source).u16(l.destination).u32(1).u32(0).u8(0x50).u8(l.flags).u16(0xffff).u32(0);
  return {w.bytes(in.bytes).take(), 0, 6};
}
Inner wrap(const IcmpLayer& l, const Inner& in) {
  Writer w;
  w.u8(l.type).u8(l.code).u16(0).u16(l.word0).u16(l.word1).bytes(in.bytes);
  w.put16(2, l.checksum.value_or(internet_checksum(w.view())));
  return {w.take(), 0, 1};
}
Inner wrap(const ArpLayer& l, const Inner& in) {
  Writer w;
  w.u16(l.hardware_type).u16(l.protocol_type).u8(l.hardware_bytes).u8(l.protocol_bytes);
  w.u16(l.operation).mac(l.sender_mac).address(l.sender_ip).mac(l.target_mac);
  return {w.address(l.target_ip).bytes(in.bytes).take(), 0x0806, 0};
}
Inner wrap(const Ip6Layer& l, const Inner& in) {
  Writer w;
  const auto payload = static_cast<uint16_t>(in.bytes.size());
  w.u32(uint32_t{l.version.value_or(6)} << 28 | l.flow_label);
  w.u16(l.payload_length.value_or(payload)).u8(l.next_header.value_or(in.ip_protocol));
  w.u8(l.hop_limit).address6(l.source).address6(l.destination);
  Bytes upper = in.bytes;
  if (in.waiting) {
    Writer pseudo;
    const auto bytes = static_cast<uint32_t>(upper.size() - in.waiting->message);
    pseudo.address6(l.source).address6(l.destination).u32(bytes).u32(in.waiting->protocol);
    pseudo.bytes(Bytes(upper.end() - bytes, upper.end()));
    uint16_t sum = internet_checksum(pseudo.view());
    if (sum == 0 && in.waiting->protocol == 17) sum = 0xffff;  // RFC 8200 §8.1
    const size_t at = in.waiting->message + in.waiting->checksum;
    upper[at] = static_cast<uint8_t>(sum >> 8);
    upper[at + 1] = static_cast<uint8_t>(sum);
  }
  return {w.bytes(upper).take(), 0x86dd, 41};
}
Inner wrap(const ExtensionLayer& l, const Inner& in) {
  Writer w;
  w.u8(in.ip_protocol).u8(l.length).bytes(l.body);
  Inner out{w.view(), 0, l.type};
  out.waiting = in.waiting;
  if (out.waiting) out.waiting->message += out.bytes.size();
  out.bytes.insert(out.bytes.end(), in.bytes.begin(), in.bytes.end());
  return out;
}
Inner wrap(const Icmp6Layer& l, const Inner& in) {
  Writer w;
  w.u8(l.type).u8(l.code).u16(l.checksum.value_or(0)).u16(l.word0).u16(l.word1).bytes(in.bytes);
  Inner out{w.take(), 0, 58};
  if (!l.checksum) out.waiting = Inner::Waiting{};
  return out;
}
Inner wrap(const NdLayer& l, const Inner& in) {
  Writer w;
  w.u8(l.type).u8(0).u16(0).u32(l.flags).address6(l.target);
  if (l.option != 0) w.u8(l.option).u8(1).mac(l.mac);
  return {w.bytes(in.bytes).take(), 0, 58, Inner::Waiting{}};
}
Inner wrap(const RawLayer& l, const Inner& in) {
  Writer w;
  return {w.bytes(l.bytes).bytes(in.bytes).take(), in.ether_type, in.ip_protocol};
}

}  // namespace

uint32_t ip4(const std::string& text) {
  const auto address = address_text::parse4(text);
  if (!address) die("no IPv4 address: " + text);
  return *address;
}

std::array<uint8_t, 16> ip6_bytes(const std::string& text) {
  const auto address = address_text::parse6(text);
  if (!address) die("no IPv6 address: " + text);
  return *address;
}

Bytes Frame::bytes() const {
  Inner inner;
  for (auto at = layers_.rbegin(); at != layers_.rend(); ++at) {
    inner = std::visit([&](const auto& layer) { return wrap(layer, inner); }, *at);
  }
  inner.bytes.insert(inner.bytes.end(), padding_, 0xee);
  return inner.bytes;
}

EthLayer eth(std::string destination, std::string source) {
  EthLayer layer;
  layer.destination = std::move(destination);
  layer.source = std::move(source);
  return layer;
}
VlanLayer vlan(uint16_t id) {
  VlanLayer layer;
  layer.tci = id;
  return layer;
}
IpLayer ip(std::string source, std::string destination) {
  IpLayer layer;
  layer.source = std::move(source);
  layer.destination = std::move(destination);
  return layer;
}
GreLayer gre(uint32_t vsid, uint8_t flow_id) {
  GreLayer layer;
  layer.vsid = vsid;
  layer.flow_id = flow_id;
  return layer;
}
UdpLayer udp(uint16_t source, uint16_t destination) {
  UdpLayer layer;
  layer.source = source;
  layer.destination = destination;
  return layer;
}
TcpLayer tcp(uint16_t source, uint16_t destination) {
  TcpLayer layer;
  layer.source = source;
  layer.destination = destination;
  return layer;
}
IcmpLayer icmp(uint8_t type, uint8_t code) {
  IcmpLayer layer;
  layer.type = type;
  layer.code = code;
  return layer;
}
IcmpLayer echo_request(uint16_t id, uint16_t sequence) {
  IcmpLayer layer = icmp(8);
  layer.word0 = id;
  layer.word1 = sequence;
  return layer;
}
ArpLayer arp_request(std::string sender_mac, std::string sender_ip, std::string target_ip) {
  ArpLayer layer;
  layer.sender_mac = std::move(sender_mac);
  layer.sender_ip = std::move(sender_ip);
  layer.target_mac = "00:00:00:00:00:00";
  layer.target_ip = std::move(target_ip);
  return layer;
}
ArpLayer arp_reply(std::string sender_mac, std::string sender_ip, std::string target_mac,
                   std::string target_ip) {
  ArpLayer layer;
  layer.operation = 2;
  layer.sender_mac = std::move(sender_mac);
  layer.sender_ip = std::move(sender_ip);
  layer.target_mac = std::move(target_mac);
  layer.target_ip = std::move(target_ip);
  return layer;
}
Ip6Layer ip6(std::string source, std::string destination) {
  Ip6Layer layer;
  layer.source = std::move(source);
  layer.destination = std::move(destination);
  return layer;
}
ExtensionLayer extension(uint8_t type, size_t bytes) {
  ExtensionLayer layer;
  layer.type = type;
  layer.length = static_cast<uint8_t>(bytes / 8 - 1);
  layer.body = Bytes(bytes - 2);
  return layer;
}
ExtensionLayer fragment_header(uint16_t offset, uint8_t more) {
  ExtensionLayer layer = extension(44);
  layer.body[0] = static_cast<uint8_t>(offset >> 5);
  layer.body[1] = static_cast<uint8_t>(offset << 3 | more);
  return layer;
}
Icmp6Layer icmp6(uint8_t type, uint8_t code) {
  Icmp6Layer layer;
  layer.type = type;
  layer.code = code;
  return layer;
}
Icmp6Layer echo_request6(uint16_t id, uint16_t sequence) {
  Icmp6Layer layer = icmp6(128);
  layer.word0 = id;
  layer.word1 = sequence;
  return layer;
}
Frame solicitation(const std::string& source, const std::string& source_mac,
                   const std::string& target) {
  const auto a = ip6_bytes(target);
  const std::string group = fmt::format("ff02::1:ff{:02x}:{:02x}{:02x}", a[13], a[14], a[15]);
  NdLayer ask;
  ask.target = target;
  ask.option = source == "::" ? 0 : 1;
  ask.mac = source_mac;
  return Frame(ip6(source, group).with([](Ip6Layer& l) { l.hop_limit = 255; })) / ask;
}
Frame advertisement(const std::string& target, const std::string& target_mac,
                    const std::string& asker, uint32_t flags) {
  NdLayer answer;
  answer.type = 136;
  answer.flags = flags | 0x40000000;
  answer.target = target;
  answer.option = 2;
  answer.mac = target_mac;
  return Frame(ip6(target, asker).with([](Ip6Layer& l) { l.hop_limit = 255; })) / answer;
}
RawLayer raw(Bytes bytes) { return {std::move(bytes)}; }
RawLayer payload(size_t count) {
  RawLayer layer;
  for (size_t i = 0; i < count; ++i) layer.bytes.push_back(static_cast<uint8_t>(i));
  return layer;
}

}  // namespace hnv
