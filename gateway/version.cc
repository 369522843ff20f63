// SPDX-License-Identifier: Apache-2.0
#include "gateway/version.h"

namespace hnv {

std::string_view version() { return HNV_VERSION; }

}  // namespace hnv
