// SPDX-License-Identifier: Apache-2.0
//
// charon's log, a line a line: what stands in it may be a stranger's. Nothing may crash, and what
// is kept and said of it is bounded and printable.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "vpn/diagnosis.h"
#include "vpn/offered_algorithms.h"
#include "vpn/tunnel_doctor.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void require_printable(const std::string& text) {
  for (const char c : text) require(c >= ' ' && c <= '~');
}

hnv::TunnelSpec tunnel() {
  hnv::TunnelSpec spec;
  spec.source_ip_address = hnv::Ip4<hnv::Space::external>(0xcb007101);
  spec.destination_ip_address = hnv::Ip4<hnv::Space::external>(0xc633640a);
  spec.remote_identity = "site.contoso.example";
  return spec;
}

}  // namespace

// A line's first byte chooses the IKE SA and whether it has the tunnel's name.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  std::string_view left(reinterpret_cast<const char*>(bytes), size);
  const hnv::TunnelSpec spec = tunnel();
  hnv::TunnelDoctor doctor;
  doctor.set(7, spec);
  hnv::Instant now;
  while (!left.empty()) {
    const size_t end = left.find('\n');
    std::string_view line = left.substr(0, end);
    left.remove_prefix(end == left.npos ? left.size() : end + 1);
    if (line.empty()) continue;
    const auto choice = static_cast<uint8_t>(line.front());
    line.remove_prefix(1);
    now = now + std::chrono::milliseconds(40);
    doctor.heard({"IKE", (choice & 1U) != 0 ? "t7" : "(unnamed)", choice % 8U, line}, now);
    (void)hnv::read_proposals(line);
  }
  if (const hnv::IkeAttempt* attempt = doctor.fault_of(7)) {
    const hnv::Diagnosis said = hnv::diagnose(spec, *attempt);
    require(!said.summary.empty() && !said.what_to_change.empty());
    require_printable(said.summary);
    for (const std::string& change : said.what_to_change) require_printable(change);
    require(attempt->lines.size() <= hnv::IkeAttempt::kMostLines);
  }
  require(doctor.strangers().size() <= hnv::TunnelDoctor::kMostStrangers);
  for (const auto& stranger : doctor.strangers())
    require_printable(hnv::diagnose(stranger).summary);
  return 0;
}
