// SPDX-License-Identifier: Apache-2.0
#include "gateway/model_checks.h"

namespace hnv {

uint16_t outside_mtu(const std::optional<uint16_t>& asked, const PortInfo& port, uint16_t min,
                     Faults& faults) {
  const Place body;
  if (!asked && port.mtu < min) {
    faults.add(ErrorCode::unfit, Place(body, "port"),
               fmt::format("port {} has MTU {}; this network needs at least {}", port.name,
                           port.mtu, min));
  } else if (asked && (*asked < min || *asked > port.mtu)) {
    faults.add(
        ErrorCode::unfit, Place(body, "mtu"),
        fmt::format("{} must be {} to {}, the MTU of port {}", *asked, min, port.mtu, port.name));
  }
  return asked.value_or(port.mtu);
}

void check_station_mac(const MacAddress& mac, const Place& place, Faults& faults) {
  if (mac.zero() || mac.multicast()) {
    faults.invalid(place, "must be one station's MAC address, not zero, multicast or broadcast");
  }
}

}  // namespace hnv
