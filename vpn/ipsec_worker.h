// SPDX-License-Identifier: Apache-2.0
//
// IPsec as one worker has it.
#pragma once

#include "vpn/ipsec_notice.h"

namespace hnv {

// Owned by one worker, but for what its ring says of the control thread.
struct IpsecWorker {
  IpsecNotices notices;
};

}  // namespace hnv
