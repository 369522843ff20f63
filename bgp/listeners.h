// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "compartments/result.h"

namespace hnv {

// How many TCP sockets listen on the port in the calling thread's network namespace, of both
// families. Asks the kernel (sock_diag) and waits for its answer.
[[nodiscard]] Result<uint32_t> count_listeners(uint16_t port);

}  // namespace hnv
