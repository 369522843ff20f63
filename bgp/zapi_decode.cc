// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "bgp/zapi_codec.h"

namespace hnv {
namespace {

constexpr uint8_t kMarker = 254;
constexpr uint8_t kVersion = 6;
// The kernel's numbers of families, which ZAPI has.
constexpr uint8_t kInet = 2;
constexpr uint8_t kInet6 = 10;

// Reads to the first fault; from there on everything is zero, and the fault stays.
class Reader {
 public:
  Reader(std::string_view message, std::span<const uint8_t> bytes)
      : message_(message), bytes_(bytes) {}

  uint8_t u8(const char* field) {
    const auto at = take(1, field);
    return at.empty() ? 0 : at[0];
  }
  uint16_t u16(const char* field) {
    const auto at = take(2, field);
    return at.empty() ? uint16_t{0} : static_cast<uint16_t>(at[0] << 8 | at[1]);
  }
  uint32_t u32(const char* field) {
    const auto at = take(4, field);
    return at.empty()
               ? 0
               : uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | at[3];
  }
  void skip(size_t size, const char* field) { (void)take(size, field); }
  std::string text(size_t size, const char* field) {
    const auto at = take(size, field);
    return {reinterpret_cast<const char*>(at.data()), at.size()};
  }
  Family family(uint32_t number, const char* field) {
    if (number == kInet) return Family::ipv4;
    if (number != kInet6) refuse(field, fmt::format("family {} is neither 2 nor 10", number));
    return Family::ipv6;
  }
  BgpAddress address(Family family, const char* field) {
    return address_of(family, take(family == Family::ipv4 ? 4 : 16, field));
  }
  // `size` bytes of an address, those behind it zero.
  BgpPrefix prefix(Family family, uint8_t length, size_t size, const char* field) {
    if (length > (family == Family::ipv4 ? 32 : 128)) {
      refuse(field, fmt::format("length {} is too long", length));
      return {};
    }
    return {address_of(family, take(size, field)), length};
  }

  void refuse(const char* field, const std::string& why) {
    if (fault_.empty()) fault_ = fmt::format("ZAPI {}: {}: {}", message_, field, why);
    bytes_ = {};
  }
  [[nodiscard]] bool more() const { return !bytes_.empty(); }
  [[nodiscard]] bool good() const { return fault_.empty(); }

  template <class T>
  Result<BgpdMessage> done(T message) {
    if (!bytes_.empty()) refuse("end", fmt::format("{} bytes too many", bytes_.size()));
    if (!fault_.empty()) return fail(ErrorCode::invalid_value, fault_);
    return BgpdMessage(std::move(message));
  }

 private:
  static BgpAddress address_of(Family family, std::span<const uint8_t> from) {
    std::array<uint8_t, 16> bytes{};
    std::copy(from.begin(), from.end(), bytes.begin());
    if (family == Family::ipv6) return Ip6<Space::customer>(bytes);
    return Ip4<Space::customer>(uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 |
                                uint32_t{bytes[2]} << 8 | uint32_t{bytes[3]});
  }
  std::span<const uint8_t> take(size_t size, const char* field) {
    if (size > bytes_.size()) {
      refuse(field, fmt::format("{} bytes are missing", size - bytes_.size()));
      return {};
    }
    const auto out = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return out;
  }

  std::string_view message_;
  std::span<const uint8_t> bytes_;
  std::string fault_;
};

ZapiSwitch on_if(bool on) { return on ? ZapiSwitch::on : ZapiSwitch::off; }

Result<BgpdMessage> decode_hello(Reader in) {
  ZapiHello out;
  out.protocol = in.u8("protocol");
  out.instance = in.u16("instance");
  out.session = in.u32("session");
  in.skip(1, "notify");
  in.skip(1, "synchronous");
  return in.done(out);
}

Result<BgpdMessage> decode_redistribute(ZapiSwitch change, Reader in) {
  ZapiRedistribute out{change, Family::ipv4, 0};
  const uint8_t afi = in.u8("afi");
  if (afi == 2) {
    out.family = Family::ipv6;
  } else if (afi != 1) {
    in.refuse("afi", fmt::format("{} is neither 1 nor 2", afi));
  }
  out.type = in.u8("type");
  in.skip(2, "instance");
  return in.done(out);
}

Result<BgpdMessage> decode_watches(ZapiSwitch change, Reader in) {
  ZapiNextHopWatches out{change, {}};
  do {
    ZapiWatch watch;
    watch.connected = in.u8("connected") != 0;
    watch.via_default = in.u8("resolveViaDefault") != 0;
    watch.safi = in.u16("safi");
    const Family family = in.family(in.u16("family"), "family");
    const uint8_t length = in.u8("prefix length");
    watch.prefix = in.prefix(family, length, family == Family::ipv4 ? 4 : 16, "prefix");
    out.watches.push_back(watch);
  } while (in.more());
  return in.done(std::move(out));
}

// Bits that say which fields of a route there are.
constexpr uint32_t kHasNextHops = 0x01;
constexpr uint32_t kHasDistance = 0x02;
constexpr uint32_t kHasMetric = 0x04;
constexpr uint32_t kHasTag = 0x08;
constexpr uint32_t kHasMtu = 0x10;
constexpr uint32_t kHasSource = 0x20;
constexpr uint32_t kHasBackups = 0x40;
constexpr uint32_t kHasGroup = 0x80;
constexpr uint32_t kHasTable = 0x100;
constexpr uint32_t kHasColor = 0x200;
constexpr uint32_t kHasOpaque = 0x400;
constexpr uint32_t kKnownFields = 0x7ff;

void read_hop_place(ZapiNextHop& hop, Reader& in) {
  const uint8_t type = in.u8("next hop's type");
  const uint8_t flags = in.u8("next hop's flags");
  switch (type) {
    case 1:
      hop.interface = in.u32("next hop's interface");
      break;
    case 2:
    case 3:
      hop.gateway = in.address(Family::ipv4, "next hop");
      hop.interface = in.u32("next hop's interface");
      break;
    case 4:
    case 5:
      hop.gateway = in.address(Family::ipv6, "next hop");
      hop.interface = in.u32("next hop's interface");
      break;
    case 6:
      in.skip(1, "kind of black hole");
      hop.discard = true;
      break;
    default:
      in.refuse("next hop's type", fmt::format("{} is not known", type));
  }
  if ((flags & 0x02) != 0) in.skip(size_t{4} * in.u8("count of labels"), "labels");
  if ((flags & 0x04) != 0) in.skip(4, "weight");
  if ((flags & 0x40) != 0) in.skip(6, "router's MAC");
  if ((flags & 0x30) != 0) in.refuse("next hop's flags", "segment routing is not known");
}

ZapiNextHop read_hop(uint32_t fields, Reader& in) {
  ZapiNextHop hop;
  hop.vrf = in.u32("next hop's VRF");
  const bool had = in.good();
  read_hop_place(hop, in);
  if (had && (fields & kHasColor) != 0) in.skip(4, "color");
  return hop;
}

void read_hops(uint32_t fields, std::vector<ZapiNextHop>* out, Reader& in) {
  constexpr uint16_t kMost = 256;  // FRR's --enable-multipath
  const uint16_t count = in.u16("count of next hops");
  if (count > kMost) in.refuse("count of next hops", fmt::format("{} are too many", count));
  for (uint16_t i = 0; i < count && in.good(); ++i) {
    ZapiNextHop hop = read_hop(fields, in);
    if (out != nullptr) out->push_back(hop);
  }
}

Result<BgpdMessage> decode_route(ZapiSwitch change, Reader in) {
  ZapiRoute out;
  out.change = change;
  out.type = in.u8("type");
  in.skip(2, "instance");
  out.flags = in.u32("flags");
  const uint32_t fields = in.u32("fields");
  if ((fields & ~kKnownFields) != 0) in.refuse("fields", fmt::format("{:#x}", fields));
  out.safi = in.u8("safi");
  const Family family = in.family(in.u8("family"), "family");
  const uint8_t length = in.u8("prefix length");
  out.prefix = in.prefix(family, length, (length + size_t{7}) / 8, "prefix");
  if ((fields & kHasSource) != 0) in.refuse("fields", "source prefixes are not known");
  if ((fields & kHasGroup) != 0) in.skip(4, "next hop group");
  if ((fields & kHasNextHops) != 0) read_hops(fields, &out.next_hops, in);
  if ((fields & kHasBackups) != 0) in.refuse("fields", "backup next hops are not known");
  if ((fields & kHasDistance) != 0) out.distance = in.u8("distance");
  if ((fields & kHasMetric) != 0) out.metric = in.u32("metric");
  if ((fields & kHasTag) != 0) out.tag = in.u32("tag");
  if ((fields & kHasMtu) != 0) in.skip(4, "mtu");
  if ((fields & kHasTable) != 0) in.skip(4, "table");
  if ((fields & kHasOpaque) != 0) in.skip(in.u16("length of opaque data"), "opaque data");
  return in.done(std::move(out));
}

Result<BgpdMessage> decode_capability(Reader in, uint16_t command) {
  ZapiClientCapability out;
  const uint32_t number = in.u32("capability");
  out.capability = static_cast<ZapiCapability>(number);
  switch (out.capability) {
    case ZapiCapability::graceful_restart:
    case ZapiCapability::rib_stale_time:
      out.stale_seconds = in.u32("stale time");
      out.vrf = in.u32("VRF");
      break;
    case ZapiCapability::route_update_complete:
    case ZapiCapability::route_update_pending: {
      const uint32_t afi = in.u32("afi");
      out.family = afi == 2 ? Family::ipv6 : Family::ipv4;
      out.safi = in.u32("safi");
      out.vrf = in.u32("VRF");
      // bgpd counts the families up that the peer has, Ethernet among them.
      if (afi != 1 && afi != 2) return in.done(ZapiSkipped{command});
      break;
    }
    case ZapiCapability::graceful_restart_disabled:
      out.vrf = in.u32("VRF");
      break;
    default:
      in.refuse("capability", fmt::format("{} is not known", number));
  }
  return in.done(out);
}

Result<BgpdMessage> decode_bfd(ZapiBfdSession::Change change, Reader in) {
  ZapiBfdSession out;
  out.change = change;
  in.skip(4, "process");
  const Family family = in.family(in.u16("family"), "family");
  out.destination = in.address(family, "destination");
  out.min_receive_milliseconds = in.u32("receive interval");
  out.min_transmit_milliseconds = in.u32("transmit interval");
  out.multiplier = in.u8("multiplier");
  out.multihop = in.u8("multihop") != 0;
  if (in.family(in.u16("source's family"), "source's family") != family) {
    in.refuse("source's family", "is not the destination's");
  }
  const BgpAddress source = in.address(family, "source");
  if (!source.unspecified()) out.source = source;
  out.hops = in.u8("hops");
  out.interface = in.text(in.u8("length of the interface's name"), "interface");
  out.control_plane_independent = in.u8("control plane independent") != 0;
  out.profile = in.text(in.u8("length of the profile's name"), "profile");
  return in.done(std::move(out));
}

Result<BgpdMessage> decode_known(ZapiCommand command, std::span<const uint8_t> body,
                                 uint16_t number) {
  using C = ZapiCommand;
  switch (command) {
    case C::hello:
      return decode_hello({"HELLO", body});
    case C::interface_add:
    case C::interface_delete:
      return Reader("INTERFACE_ADD", body)
          .done(ZapiInterfaceRequest{on_if(command == C::interface_add)});
    case C::router_id_add:
    case C::router_id_delete: {
      Reader in("ROUTER_ID_ADD", body);
      const uint16_t afi = in.u16("afi");
      return in.done(ZapiRouterIdRequest{on_if(command == C::router_id_add), afi});
    }
    case C::redistribute_add:
    case C::redistribute_delete:
      return decode_redistribute(on_if(command == C::redistribute_add), {"REDISTRIBUTE_ADD", body});
    case C::nexthop_register:
    case C::nexthop_unregister:
      return decode_watches(on_if(command == C::nexthop_register), {"NEXTHOP_REGISTER", body});
    case C::route_add:
      return decode_route(ZapiSwitch::on, {"ROUTE_ADD", body});
    case C::route_delete:
      return decode_route(ZapiSwitch::off, {"ROUTE_DELETE", body});
    case C::client_capabilities:
      return decode_capability({"CLIENT_CAPABILITIES", body}, number);
    case C::bfd_client_register: {
      Reader in("BFD_CLIENT_REGISTER", body);
      const uint32_t process = in.u32("process");
      return in.done(ZapiBfdClient{process});
    }
    case C::bfd_dest_register:
      return decode_bfd(ZapiBfdSession::Change::add, {"BFD_DEST_REGISTER", body});
    case C::bfd_dest_update:
      return decode_bfd(ZapiBfdSession::Change::update, {"BFD_DEST_UPDATE", body});
    case C::bfd_dest_deregister:
      return decode_bfd(ZapiBfdSession::Change::remove, {"BFD_DEST_DEREGISTER", body});
    case C::label_manager_connect: {
      Reader in("LABEL_MANAGER_CONNECT", body);
      ZapiLabelManagerConnect out;
      out.protocol = in.u8("protocol");
      out.instance = in.u16("instance");
      return in.done(out);
    }
    case C::route_notify_request: {
      Reader in("ROUTE_NOTIFY_REQUEST", body);
      const bool on = in.u8("on") != 0;
      return in.done(ZapiRouteNotifyRequest{on_if(on)});
    }
    default:
      return BgpdMessage(ZapiSkipped{number});
  }
}

}  // namespace

void ZapiStream::feed(std::span<const uint8_t> bytes) {
  if (read_ != 0) {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(read_));
    read_ = 0;
  }
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

std::optional<Result<ZapiFrame>> ZapiStream::next() {
  const std::span<const uint8_t> left = std::span(bytes_).subspan(read_);
  if (left.size() < kZapiHeader) return std::nullopt;
  const size_t length = size_t{left[0]} << 8 | left[1];
  if (left[2] != kMarker || left[3] != kVersion) {
    return fail(ErrorCode::invalid_value,
                fmt::format("not ZAPI version 6: marker {}, version {}", left[2], left[3]));
  }
  if (length < kZapiHeader || length > kMaxZapiFrame) {
    return fail(ErrorCode::invalid_value, fmt::format("a ZAPI message of {} bytes", length));
  }
  if (left.size() < length) return std::nullopt;
  read_ += length;
  ZapiFrame frame;
  frame.vrf = uint32_t{left[4]} << 24 | uint32_t{left[5]} << 16 | uint32_t{left[6]} << 8 | left[7];
  frame.command = static_cast<uint16_t>(left[8] << 8 | left[9]);
  frame.body = left.subspan(kZapiHeader, length - kZapiHeader);
  return frame;
}

Result<BgpdMessage> decode_zapi(const ZapiRelease& release, const ZapiFrame& frame) {
  const auto command = release.command(frame.command);
  if (!command) return BgpdMessage(ZapiSkipped{frame.command});
  return decode_known(*command, frame.body, frame.command);
}

}  // namespace hnv
