// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gateway/bootstrap.h"

namespace hnv {

// The whole process: starts every part, runs until SIGTERM or SIGINT, stops them in the reverse
// order. Throws std::runtime_error with what to change when a part does not start.
void run_gateway(const Bootstrap& bootstrap);

}  // namespace hnv
