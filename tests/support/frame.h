// SPDX-License-Identifier: Apache-2.0
//
// Frames written as they nest: eth(…) / ip(…) / gre(5001) / eth(…) / ip(…) / udp(…). Lengths,
// checksums and the type of what follows are filled in from what is inside, unless a test sets them
// itself: every field can be wrong.
//
//   eth("02:…:f0", "02:…:11") / ip("10.250.0.11", "10.250.0.1") / gre(5001) / …
//   … / ip("10.0.1.11", "10.0.1.12").with([](IpLayer& l) { l.ttl = 1; }) / udp(1000, 2000)
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tests/support/fake_mbufs.h"

namespace hnv {

// Gives every layer `.with(change)`, for the fields that a short form does not name.
template <class Self>
struct LayerBase {
  template <class Change>
  [[nodiscard]] Self with(Change change) const {
    Self copy = static_cast<const Self&>(*this);
    change(copy);
    return copy;
  }
};

struct EthLayer : LayerBase<EthLayer> {
  std::string destination, source;
  std::optional<uint16_t> type;
};
struct VlanLayer : LayerBase<VlanLayer> {  // between Ethernet's addresses and type
  uint16_t tci = 0;
  uint16_t tpid = 0x8100;
  std::optional<uint16_t> type;
};
struct IpLayer : LayerBase<IpLayer> {
  std::string source, destination;
  uint8_t ttl = 64;
  uint8_t tos = 0;
  uint16_t id = 0;
  uint16_t fragment = 0;
  Bytes options;  // a multiple of four bytes
  std::optional<uint8_t> version_ihl, protocol;
  std::optional<uint16_t> total_length, checksum;
};
struct GreLayer : LayerBase<GreLayer> {
  uint32_t vsid = 0;
  uint8_t flow_id = 0;
  uint16_t flags = 0x2000;
  uint16_t protocol = 0x6558;
};
struct UdpLayer : LayerBase<UdpLayer> {
  uint16_t source = 0, destination = 0;
};
struct TcpLayer : LayerBase<TcpLayer> {
  uint16_t source = 0, destination = 0;
  uint8_t flags = 2;  // SYN
};
struct IcmpLayer : LayerBase<IcmpLayer> {
  uint8_t type = 8, code = 0;
  uint16_t word0 = 0, word1 = 0;
  std::optional<uint16_t> checksum;
};
struct ArpLayer : LayerBase<ArpLayer> {
  uint16_t hardware_type = 1, protocol_type = 0x0800;
  uint8_t hardware_bytes = 6, protocol_bytes = 4;
  uint16_t operation = 1;
  std::string sender_mac, sender_ip, target_mac, target_ip;
};
struct Ip6Layer : LayerBase<Ip6Layer> {
  std::string source, destination;
  uint8_t hop_limit = 64;
  uint32_t flow_label = 0;
  std::optional<uint8_t> version, next_header;
  std::optional<uint16_t> payload_length;
};
// An extension header: its first two bytes (next header, length) and `body` behind them.
struct ExtensionLayer : LayerBase<ExtensionLayer> {
  uint8_t type = 0;  // its own: what the header in front says
  uint8_t length = 0;
  Bytes body;
};
struct Icmp6Layer : LayerBase<Icmp6Layer> {
  uint8_t type = 128, code = 0;
  uint16_t word0 = 0, word1 = 0;
  std::optional<uint16_t> checksum;  // default the right one, pseudo header included
};
struct NdLayer : LayerBase<NdLayer> {  // solicitation and advertisement
  uint8_t type = 135;
  uint32_t flags = 0;
  std::string target;
  uint8_t option = 0;  // 1: source, 2: target link-layer address; 0: none
  std::string mac;
};
struct RawLayer {
  Bytes bytes;
};

using Layer = std::variant<EthLayer, VlanLayer, IpLayer, GreLayer, UdpLayer, TcpLayer, IcmpLayer,
                           ArpLayer, Ip6Layer, ExtensionLayer, Icmp6Layer, NdLayer, RawLayer>;

class Frame {
 public:
  Frame() = default;
  template <class L, class = std::enable_if_t<std::is_constructible_v<Layer, L>>>
  Frame(L layer) : layers_{Layer(std::move(layer))} {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] Bytes bytes() const;
  [[nodiscard]] const std::vector<Layer>& layers() const { return layers_; }
  void append(const Frame& inner) {
    layers_.insert(layers_.end(), inner.layers_.begin(), inner.layers_.end());
  }
  // Bytes behind everything, which no length counts: Ethernet's padding.
  [[nodiscard]] Frame padded(size_t bytes) const {
    Frame copy = *this;
    copy.padding_ = bytes;
    return copy;
  }

 private:
  std::vector<Layer> layers_;
  size_t padding_ = 0;
};

[[nodiscard]] inline Frame operator/(Frame outer, const Frame& inner) {
  outer.append(inner);
  return outer;
}

[[nodiscard]] EthLayer eth(std::string destination, std::string source);
[[nodiscard]] VlanLayer vlan(uint16_t id);
[[nodiscard]] IpLayer ip(std::string source, std::string destination);
[[nodiscard]] GreLayer gre(uint32_t vsid, uint8_t flow_id = 0);
[[nodiscard]] UdpLayer udp(uint16_t source, uint16_t destination);
[[nodiscard]] TcpLayer tcp(uint16_t source, uint16_t destination);
[[nodiscard]] IcmpLayer icmp(uint8_t type, uint8_t code = 0);
[[nodiscard]] IcmpLayer echo_request(uint16_t id = 7, uint16_t sequence = 1);
[[nodiscard]] ArpLayer arp_request(std::string sender_mac, std::string sender_ip,
                                   std::string target_ip);
[[nodiscard]] ArpLayer arp_reply(std::string sender_mac, std::string sender_ip,
                                 std::string target_mac, std::string target_ip);
[[nodiscard]] Ip6Layer ip6(std::string source, std::string destination);
[[nodiscard]] ExtensionLayer extension(uint8_t type, size_t bytes = 8);
// Offset in units of 8 bytes; more fragments follow or not.
[[nodiscard]] ExtensionLayer fragment_header(uint16_t offset, uint8_t more);
[[nodiscard]] Icmp6Layer icmp6(uint8_t type, uint8_t code = 0);
[[nodiscard]] Icmp6Layer echo_request6(uint16_t id = 7, uint16_t sequence = 1);
// Hop limit 255 and the right group; of an address, from `source` with its MAC.
[[nodiscard]] Frame solicitation(const std::string& source, const std::string& source_mac,
                                 const std::string& target);
// Solicited, to `asker`; `flags` beside that.
[[nodiscard]] Frame advertisement(const std::string& target, const std::string& target_mac,
                                  const std::string& asker, uint32_t flags);
[[nodiscard]] RawLayer raw(Bytes bytes);
// `count` bytes 0, 1, 2 …
[[nodiscard]] RawLayer payload(size_t count);

// Host order. Dies on anything that is no address: a typing error in a test.
[[nodiscard]] uint32_t ip4(const std::string& text);
[[nodiscard]] std::array<uint8_t, 16> ip6_bytes(const std::string& text);

}  // namespace hnv
