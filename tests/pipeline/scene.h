// SPDX-License-Identifier: Apache-2.0
//
// A scene: frames that come in, breath by breath, through a real line over the twin tenants'
// network; what goes out and how the counters move.
#pragma once

#include <string>
#include <vector>

#include "tests/pipeline/pcap.h"
#include "tests/support/twin_tenants.h"

namespace hnv {

inline constexpr const char* kScenes[] = {"answers", "answers6", "forwarding", "forwarding6",
                                          "refusals"};

// "…/golden/forwarding.in.pcap"
[[nodiscard]] std::string golden(const std::string& scene, const std::string& what);

struct SceneResult {
  std::vector<PcapRecord> sent;
  std::string counters;  // JSON: every counter that is not zero
  std::string fault;     // of the ledger or of the buffers
};
[[nodiscard]] SceneResult play(const std::vector<PcapRecord>& in);

}  // namespace hnv
