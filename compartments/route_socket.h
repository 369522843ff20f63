// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "compartments/address.h"
#include "compartments/owned_fd.h"
#include "compartments/result.h"

namespace hnv {

// The few things that a namespace with one TUN needs of the kernel's routing socket. Needs
// CAP_NET_ADMIN in the namespace in which it was opened; each call waits for the kernel's answer.
class RouteSocket {
 public:
  [[nodiscard]] static Result<RouteSocket> open();
  [[nodiscard]] Result<void> set_up(unsigned interface);
  // As /32 or /128: nothing is on-link.
  template <Space S>
  [[nodiscard]] Result<void> add_address(unsigned interface, const IpAddress<S>& address) {
    return change_address(Change::add, interface, address.family(), address.bytes());
  }
  template <Space S>
  [[nodiscard]] Result<void> remove_address(unsigned interface, const IpAddress<S>& address) {
    return change_address(Change::remove, interface, address.family(), address.bytes());
  }
  // Everything else goes there; the interface needs no next hop.
  [[nodiscard]] Result<void> add_default_route(unsigned interface, Family family);

 private:
  enum class Change : uint8_t { add, remove };
  explicit RouteSocket(OwnedFd fd) : fd_(std::move(fd)) {}
  [[nodiscard]] Result<void> change_address(Change change, unsigned interface, Family family,
                                            const std::array<uint8_t, 16>& address);
  template <class Body>
  [[nodiscard]] Result<void> ask(uint16_t type, uint16_t flags, const Body& body,
                                 const std::string& attributes, const std::string& what);

  OwnedFd fd_;
  uint32_t sequence_ = 0;
};

}  // namespace hnv
