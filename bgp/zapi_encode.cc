// SPDX-License-Identifier: Apache-2.0
#include <cassert>
#include <cstring>
#include <string_view>

#include "bgp/zapi_codec.h"

namespace hnv {
namespace {

constexpr uint8_t kInet = 2;
constexpr uint8_t kInet6 = 10;
constexpr uint8_t kUnicast = 1;

uint8_t family_of(const BgpAddress& address) { return address.is_v4() ? kInet : kInet6; }

class Writer {
 public:
  Writer(uint16_t command, uint32_t vrf) {
    out_.reserve(96);
    u16(0);  // the length, when it is known
    u8(254);
    u8(6);
    u32(vrf);
    u16(command);
  }
  Writer& u8(uint8_t value) {
    out_.push_back(value);
    return *this;
  }
  Writer& u16(uint16_t value) {
    return u8(static_cast<uint8_t>(value >> 8)).u8(static_cast<uint8_t>(value));
  }
  Writer& u32(uint32_t value) {
    return u16(static_cast<uint16_t>(value >> 16)).u16(static_cast<uint16_t>(value));
  }
  Writer& u64(uint64_t value) {
    return u32(static_cast<uint32_t>(value >> 32)).u32(static_cast<uint32_t>(value));
  }
  Writer& host_u32(uint32_t value) {
    uint8_t bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out_.insert(out_.end(), bytes, bytes + sizeof bytes);
    return *this;
  }
  Writer& text(std::string_view value, size_t size) {
    assert(value.size() < size);
    out_.insert(out_.end(), value.begin(), value.end());
    return zeros(size - value.size());
  }
  Writer& zeros(size_t count) {
    out_.insert(out_.end(), count, uint8_t{0});
    return *this;
  }
  Writer& bytes_of(const BgpAddress& address, size_t size) {
    out_.insert(out_.end(), address.bytes().begin(),
                address.bytes().begin() + static_cast<ptrdiff_t>(size));
    return *this;
  }
  Writer& whole(const BgpAddress& address) { return bytes_of(address, address.bits() / 8U); }
  Writer& on_link_hop(uint32_t vrf, uint32_t interface) {
    return u32(vrf).u8(1).u8(0).u32(interface);
  }
  ZapiBytes done() {
    out_[0] = static_cast<uint8_t>(out_.size() >> 8);
    out_[1] = static_cast<uint8_t>(out_.size());
    return std::move(out_);
  }

 private:
  ZapiBytes out_;
};

}  // namespace

ZapiBytes zapi_capabilities(const ZapiRelease& release, uint32_t multipath) {
  constexpr uint32_t kNamespaces = 1;
  return Writer(release.number(ZapiCommand::capabilities), 0)
      .u32(kNamespaces)
      .u8(0)  // no MPLS
      .u32(multipath)
      .u8(0)  // no MLAG
      .done();
}

ZapiBytes zapi_vrf(const ZapiRelease& release, ZapiSwitch change, const ZapiVrf& vrf) {
  const auto command = change == ZapiSwitch::on ? ZapiCommand::vrf_add : ZapiCommand::vrf_delete;
  return Writer(release.number(command), vrf.vrf)
      .host_u32(0)  // the table: there is one in each namespace
      .text(vrf.netns, kMaxZapiName + 1)
      .text(vrf.name, kMaxZapiName + 1)
      .done();
}

ZapiBytes zapi_interface(const ZapiRelease& release, ZapiCommand command, uint32_t vrf,
                         const ZapiInterface& interface) {
  constexpr uint8_t kActive = 1;
  constexpr uint8_t kLinkDetection = 4;
  constexpr uint64_t kUp = 0x1041;    // IFF_UP, IFF_RUNNING, IFF_MULTICAST
  constexpr uint64_t kDown = 0x1000;  // IFF_MULTICAST
  const bool up = command == ZapiCommand::interface_add || command == ZapiCommand::interface_up;
  return Writer(release.number(command), vrf)
      .text(interface.name, 16)
      .u32(interface.index)
      .u8(kActive | kLinkDetection)
      .u64(up ? kUp : kDown)
      .u8(0)   // no PTM
      .u8(0)   // its status
      .u32(0)  // metric
      .u32(0)  // speed
      .u32(interface.mtu)
      .u32(interface.mtu)
      .u32(0)  // bandwidth
      .u32(0)  // no other interface below
      .u32(0)  // link layer: none
      .u32(0)  // no MAC
      .u8(0)   // no parameters for traffic engineering
      .done();
}

ZapiBytes zapi_address(const ZapiRelease& release, ZapiSwitch change, uint32_t vrf,
                       uint32_t interface, const InterfaceAddress<Space::customer>& address) {
  const auto command = change == ZapiSwitch::on ? ZapiCommand::interface_address_add
                                                : ZapiCommand::interface_address_delete;
  return Writer(release.number(command), vrf)
      .u32(interface)
      .u8(0)  // not secondary, no peer
      .u8(family_of(address.address))
      .whole(address.address)
      .u8(address.length)
      .zeros(address.address.bits() / 8U)  // the peer's
      .done();
}

ZapiBytes zapi_router_id(const ZapiRelease& release, uint32_t vrf, CaAddress id) {
  return Writer(release.number(ZapiCommand::router_id_update), vrf)
      .u8(kInet)
      .u32(id.value())
      .u8(32)
      .done();
}

ZapiBytes zapi_nexthop_update(const ZapiRelease& release, uint32_t vrf, const ZapiWatch& watch,
                              const ZapiReach& reach) {
  const auto prefix = [](Writer& out, const BgpPrefix& value) {
    out.u16(family_of(value.address())).u8(value.length()).whole(value.address());
  };
  Writer out(release.number(ZapiCommand::nexthop_update), vrf);
  out.u32(0).u16(watch.safi);
  prefix(out, watch.prefix);
  prefix(out, reach.through.value_or(BgpPrefix(watch.prefix.address(), 0)));
  out.u8(reach.type).u16(0).u8(reach.distance).u32(reach.metric);
  if (!reach.through) return out.u8(0).done();
  return out.u8(1).on_link_hop(vrf, reach.interface).done();
}

ZapiBytes zapi_redistributed(const ZapiRelease& release, ZapiSwitch change, uint32_t vrf,
                             const BgpPrefix& prefix, uint8_t type, uint32_t metric,
                             uint32_t interface) {
  constexpr uint32_t kSelected = 0x08;
  constexpr uint32_t kFields = 0x17;  // next hops, distance, metric, MTU
  const auto command = change == ZapiSwitch::on ? ZapiCommand::redistribute_route_add
                                                : ZapiCommand::redistribute_route_delete;
  return Writer(release.number(command), vrf)
      .u8(type)
      .u16(0)
      .u32(kSelected)
      .u32(kFields)
      .u8(kUnicast)
      .u8(family_of(prefix.address()))
      .u8(prefix.length())
      .bytes_of(prefix.address(), (prefix.length() + 7U) / 8U)
      .u16(1)
      .on_link_hop(vrf, interface)
      .u8(0)
      .u32(metric)
      .u32(0)
      .done();
}

ZapiBytes zapi_route_note(const ZapiRelease& release, uint32_t vrf, const BgpPrefix& prefix,
                          ZapiRouteNote note) {
  return Writer(release.number(ZapiCommand::route_notify_owner), vrf)
      .host_u32(static_cast<uint32_t>(note))
      .u8(family_of(prefix.address()))
      .u8(prefix.length())
      .whole(prefix.address())
      .u32(0)  // table
      .u8(prefix.address().is_v4() ? 1 : 2)
      .u8(kUnicast)
      .done();
}

ZapiBytes zapi_bfd_state(const ZapiRelease& release, uint32_t vrf, const ZapiBfdSession& session,
                         uint32_t interface, ZapiBfdState state) {
  const BgpAddress& to = session.destination;
  const BgpAddress from =
      session.source.value_or(to.is_v4() ? BgpAddress(CaAddress()) : BgpAddress(CaAddress6()));
  return Writer(release.number(ZapiCommand::interface_bfd_dest_update), vrf)
      .u32(session.multihop ? 0 : interface)
      .u8(family_of(to))
      .whole(to)
      .u8(to.bits())
      .u32(static_cast<uint32_t>(state))
      .u8(family_of(from))
      .whole(from)
      .u8(from.bits())
      .u8(session.control_plane_independent ? 1 : 0)
      .done();
}

ZapiBytes zapi_bfd_replay(const ZapiRelease& release) {
  return Writer(release.number(ZapiCommand::bfd_dest_replay), 0).done();
}

ZapiBytes zapi_label_manager_answer(const ZapiRelease& release,
                                    const ZapiLabelManagerConnect& asked) {
  return Writer(release.number(ZapiCommand::label_manager_connect), 0)
      .u8(asked.protocol)
      .u16(asked.instance)
      .u8(0)  // granted
      .done();
}

}  // namespace hnv
