// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "vpn/charon/charon_abi.h"

namespace hnv::charon {

// charon's "kernel": hands its SAs to the gateway. charon calls it once, when the plugin's feature
// is loaded, and owns what it returns until destroy.
[[nodiscard]] KernelIpsec* create_kernel_ipsec();

}  // namespace hnv::charon
