// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>

#include "compartments/owned_fd.h"

namespace hnv {

// Messages of a fixed size on a SOCK_SEQPACKET Unix socket, with at most two descriptors beside
// them. They stay the sender's. Whether it was sent; errno says why not.
[[nodiscard]] bool send_with_fds(int socket, const void* message, size_t size,
                                 std::initializer_list<int> fds = {});

struct FdMessage {
  size_t size = 0;  // 0: there was none
  std::array<OwnedFd, 2> fds;
};
// Waits unless the socket is non-blocking.
[[nodiscard]] FdMessage receive_with_fds(int socket, void* message, size_t size);

}  // namespace hnv
