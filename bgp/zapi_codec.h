// SPDX-License-Identifier: Apache-2.0
//
// ZAPI as bytes: what bgpd sends is read, what zebra sends is written. Pure: no socket, no state
// but that of a stream that is cut into frames. Everything is big-endian but where FRR forgot to.
//
//   frame  u16 length of all of it | u8 254 | u8 6 | u32 VRF | u16 command | body
//
// Source: FRR's lib/zclient.[ch], and bytes that bgpd 8.4.4 sent (tests/bgp/test_zapi_codec.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "bgp/zapi_release.h"
#include "compartments/address.h"
#include "compartments/result.h"

namespace hnv {

using BgpAddress = IpAddress<Space::customer>;
using BgpPrefix = Prefix<Space::customer>;

struct ZapiFrame {
  uint32_t vrf = 0;
  uint16_t command = 0;
  std::span<const uint8_t> body;  // holds until the stream is fed again
};

inline constexpr size_t kZapiHeader = 10;
inline constexpr size_t kMaxZapiFrame = 16'384;  // FRR's own buffers

// Cuts a stream into frames.
class ZapiStream {
 public:
  void feed(std::span<const uint8_t> bytes);
  // The next whole frame; nothing when more bytes are needed. An error (no ZAPI, or another version
  // of it) ends the stream.
  [[nodiscard]] std::optional<Result<ZapiFrame>> next();

 private:
  std::vector<uint8_t> bytes_;
  size_t read_ = 0;  // bytes in front that are done with
};

// ---- What bgpd says.

enum class ZapiSwitch : uint8_t { on, off };  // ADD or DELETE, REGISTER or UNREGISTER

struct ZapiHello {
  uint8_t protocol = 0;  // kZapiBgp; another of the same process is to be ignored
  uint16_t instance = 0;
  uint32_t session = 0;
};
inline constexpr uint8_t kZapiBgp = 9;
struct ZapiInterfaceRequest {
  ZapiSwitch change = ZapiSwitch::on;
};
struct ZapiRouterIdRequest {
  ZapiSwitch change = ZapiSwitch::on;
  uint16_t afi = 1;
};
struct ZapiRedistribute {
  ZapiSwitch change = ZapiSwitch::on;
  Family family = Family::ipv4;
  uint8_t type = 0;  // ZapiRouteTypes
};

// A prefix whose reachability bgpd wants to know from now on.
struct ZapiWatch {
  BgpPrefix prefix;
  bool connected = false;    // only a network that is on-link will do (a peer one hop away)
  bool via_default = false;  // a default route will do, too (`network`)
  uint16_t safi = 1;
  friend auto operator<=>(const ZapiWatch&, const ZapiWatch&) = default;
};
struct ZapiNextHopWatches {
  ZapiSwitch change = ZapiSwitch::on;
  std::vector<ZapiWatch> watches;
};

struct ZapiNextHop {
  uint32_t vrf = 0;
  std::optional<BgpAddress> gateway{};  // none: on-link on the interface, or discarded
  uint32_t interface = 0;               // 0: not known, the gateway has to be looked for
  bool discard = false;                 // of an aggregate
  friend bool operator==(const ZapiNextHop&, const ZapiNextHop&) = default;
};
struct ZapiRoute {
  ZapiSwitch change = ZapiSwitch::on;
  BgpPrefix prefix;
  uint8_t type = 0;
  uint32_t flags = 0;
  uint8_t safi = 1;
  std::vector<ZapiNextHop> next_hops;
  uint8_t distance = 0;
  uint32_t metric = 0;
  uint32_t tag = 0;
  friend bool operator==(const ZapiRoute&, const ZapiRoute&) = default;
};
inline constexpr uint32_t kZapiAllowRecursion = 0x01;
inline constexpr uint32_t kZapiInternal = 0x04;  // iBGP, and aggregates

enum class ZapiCapability : uint32_t {
  graceful_restart = 1,  // stale_seconds
  route_update_complete = 2,
  route_update_pending = 3,
  graceful_restart_disabled = 4,
  rib_stale_time = 5,  // stale_seconds
};
struct ZapiClientCapability {
  ZapiCapability capability = ZapiCapability::graceful_restart;
  uint32_t vrf = 0;
  uint32_t stale_seconds = 0;
  Family family = Family::ipv4;  // of the two about route updates
  uint32_t safi = 1;
};

struct ZapiBfdClient {
  uint32_t process = 0;
};
struct ZapiBfdSession {
  enum class Change : uint8_t { add, update, remove };
  Change change = Change::add;
  BgpAddress destination;
  std::optional<BgpAddress> source{};  // none: unspecified
  uint32_t min_receive_milliseconds = 0;
  uint32_t min_transmit_milliseconds = 0;
  uint8_t multiplier = 0;
  bool multihop = false;
  uint8_t hops = 0;
  std::string interface;
  bool control_plane_independent = false;
  std::string profile;
  friend bool operator==(const ZapiBfdSession&, const ZapiBfdSession&) = default;
};
struct ZapiLabelManagerConnect {
  uint8_t protocol = 0;
  uint16_t instance = 0;
};
struct ZapiRouteNotifyRequest {
  ZapiSwitch change = ZapiSwitch::on;
};
struct ZapiSkipped {  // known to be of no use here, or not known
  uint16_t command = 0;
};

using BgpdMessage =
    std::variant<ZapiSkipped, ZapiHello, ZapiInterfaceRequest, ZapiRouterIdRequest,
                 ZapiRedistribute, ZapiNextHopWatches, ZapiRoute, ZapiClientCapability,
                 ZapiBfdClient, ZapiBfdSession, ZapiLabelManagerConnect, ZapiRouteNotifyRequest>;

// Every byte of a message that is known must be accounted for; the error names the message and the
// field.
[[nodiscard]] Result<BgpdMessage> decode_zapi(const ZapiRelease& release, const ZapiFrame& frame);

// ---- What zebra says. Each function gives one whole frame.

using ZapiBytes = std::vector<uint8_t>;

// VRFs are network namespaces; `multipath` is how many next hops a route may have.
[[nodiscard]] ZapiBytes zapi_capabilities(const ZapiRelease& release, uint32_t multipath);

inline constexpr size_t kMaxZapiName = 35;  // bytes, of a VRF and of its namespace
struct ZapiVrf {
  uint32_t vrf = 0;
  std::string name;
  std::string netns;  // in /run/netns
};
// REQUIRES names of at most kMaxZapiName bytes.
[[nodiscard]] ZapiBytes zapi_vrf(const ZapiRelease& release, ZapiSwitch change, const ZapiVrf& vrf);

struct ZapiInterface {
  std::string name;  // at most 15 bytes
  uint32_t index = 0;
  uint16_t mtu = 1500;
};
// Command: one of interface_add, interface_delete, interface_up, interface_down.
[[nodiscard]] ZapiBytes zapi_interface(const ZapiRelease& release, ZapiCommand command,
                                       uint32_t vrf, const ZapiInterface& interface);
[[nodiscard]] ZapiBytes zapi_address(const ZapiRelease& release, ZapiSwitch change, uint32_t vrf,
                                     uint32_t interface,
                                     const InterfaceAddress<Space::customer>& address);
[[nodiscard]] ZapiBytes zapi_router_id(const ZapiRelease& release, uint32_t vrf, CaAddress id);

// Where the prefix of a watch leads; `through` absent: nowhere.
struct ZapiReach {
  std::optional<BgpPrefix> through{};
  uint8_t type = 0;
  uint8_t distance = 0;
  uint32_t metric = 0;  // bgpd's IGP metric
  uint32_t interface = 0;
  friend bool operator==(const ZapiReach&, const ZapiReach&) = default;
};
[[nodiscard]] ZapiBytes zapi_nexthop_update(const ZapiRelease& release, uint32_t vrf,
                                            const ZapiWatch& watch, const ZapiReach& reach);

// A route for bgpd to announce: on-link on the interface, so that bgpd gives itself as next hop.
[[nodiscard]] ZapiBytes zapi_redistributed(const ZapiRelease& release, ZapiSwitch change,
                                           uint32_t vrf, const BgpPrefix& prefix, uint8_t type,
                                           uint32_t metric, uint32_t interface);

enum class ZapiRouteNote : uint32_t {
  failed = 0,
  better_won = 1,
  installed = 2,
  removed = 3,
  remove_failed = 4,
};
[[nodiscard]] ZapiBytes zapi_route_note(const ZapiRelease& release, uint32_t vrf,
                                        const BgpPrefix& prefix, ZapiRouteNote note);

enum class ZapiBfdState : uint32_t { unknown = 1, down = 2, up = 4, admin_down = 8 };
[[nodiscard]] ZapiBytes zapi_bfd_state(const ZapiRelease& release, uint32_t vrf,
                                       const ZapiBfdSession& session, uint32_t interface,
                                       ZapiBfdState state);
// Asks bgpd to register its BFD sessions again.
[[nodiscard]] ZapiBytes zapi_bfd_replay(const ZapiRelease& release);
// There are no labels to be had, but bgpd waits for an answer.
[[nodiscard]] ZapiBytes zapi_label_manager_answer(const ZapiRelease& release,
                                                  const ZapiLabelManagerConnect& asked);

}  // namespace hnv
