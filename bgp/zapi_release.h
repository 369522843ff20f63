// SPDX-License-Identifier: Apache-2.0
//
// ZAPI, the protocol between FRRouting's zebra and its daemons, has had version 6 in its header
// from FRR 7.3 on, while numbers and layouts changed with nearly every release. A message that bgpd
// does not expect makes it abort. So each group of releases has a row here, and a release without
// one is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace hnv {

// The messages that we know; those that bgpd sends besides are skipped by their length.
enum class ZapiCommand : uint8_t {
  interface_add,  // from bgpd: a request for the VRF's interfaces
  interface_delete,
  interface_address_add,
  interface_address_delete,
  interface_up,
  interface_down,
  route_add,
  route_delete,
  route_notify_owner,
  redistribute_add,
  redistribute_delete,
  router_id_add,
  router_id_delete,
  router_id_update,
  hello,
  capabilities,
  nexthop_register,
  nexthop_unregister,
  nexthop_update,
  interface_bfd_dest_update,
  bfd_dest_register,
  bfd_dest_deregister,
  bfd_dest_update,
  bfd_dest_replay,
  redistribute_route_add,
  redistribute_route_delete,
  vrf_add,
  vrf_delete,
  vrf_label,
  bfd_client_register,
  label_manager_connect,
  client_capabilities,
  route_notify_request,
};
inline constexpr size_t kZapiCommands = static_cast<size_t>(ZapiCommand::route_notify_request) + 1;

// Where a route comes from, in ZAPI's numbers.
struct ZapiRouteTypes {
  uint8_t connected;
  uint8_t static_route;
  uint8_t bgp;
};

struct ZapiRelease {
  std::string_view name;  // "8.4 to 8.5"
  unsigned first;         // major * 100 + minor
  unsigned last;
  uint16_t hello_size;  // with its header
  ZapiRouteTypes types;
  uint16_t numbers[kZapiCommands];

  [[nodiscard]] uint16_t number(ZapiCommand command) const {
    return numbers[static_cast<size_t>(command)];
  }
  [[nodiscard]] std::optional<ZapiCommand> command(uint16_t number) const;
};

// The row of a version such as "8.4.4"; null when there is none, or the text is no version.
[[nodiscard]] const ZapiRelease* zapi_release_of(std::string_view version);
// The version in what `show version` answers; empty when it says none.
[[nodiscard]] std::string_view frr_version_in(std::string_view text);

}  // namespace hnv
