// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "compartments/address.h"
#include "compartments/result.h"
#include "vpn/owned_fd.h"

namespace hnv {

// The few things that a namespace with one TUN needs of the kernel's routing socket. Needs
// CAP_NET_ADMIN in the namespace in which it was opened; each call waits for the kernel's answer.
class RouteSocket {
 public:
  [[nodiscard]] static Result<RouteSocket> open();
  [[nodiscard]] Result<void> set_up(unsigned interface);
  [[nodiscard]] Result<void> add_address(unsigned interface,
                                         const IpAddress<Space::external>& address);
  [[nodiscard]] Result<void> remove_address(unsigned interface,
                                            const IpAddress<Space::external>& address);
  // Everything else goes there; the interface needs no next hop.
  [[nodiscard]] Result<void> add_default_route(unsigned interface, Family family);

 private:
  explicit RouteSocket(OwnedFd fd) : fd_(std::move(fd)) {}
  template <class Body>
  [[nodiscard]] Result<void> ask(uint16_t type, uint16_t flags, const Body& body,
                                 const std::string& attributes, const std::string& what);

  OwnedFd fd_;
  uint32_t sequence_ = 0;
};

}  // namespace hnv
