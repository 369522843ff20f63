// SPDX-License-Identifier: Apache-2.0
//
// Writes the inputs of the golden scenes from the tables of tests/gateway, both tenants' frames
// side by side in the same vectors.
//
//   ninja hnv_scenes && tests/pipeline/hnv_scenes tests/pipeline/golden
#include <cstdio>
#include <string>

#include "tests/gateway/line_cases.h"
#include "tests/pipeline/pcap.h"

namespace hnv {
namespace {

using Tables = std::vector<std::span<const LineCase>>;

// `want` chooses; 40 frames a breath.
template <class Want>
void write_scene(const std::string& path, const Tables& tables, Want want) {
  std::vector<PcapRecord> out;
  for (const auto& table : tables) {
    for (const LineCase& c : table) {
      if (!want(c)) continue;
      for (const Tenant& tenant : kTwins) {
        const auto breath = static_cast<uint32_t>(out.size() / 40);
        out.push_back({breath, c.port, c.in(tenant).bytes()});
      }
    }
  }
  write_pcap(path, out);
}

}  // namespace
}  // namespace hnv

int main(int argc, char** argv) {
  using namespace hnv;
  if (argc != 2) {
    std::fputs("usage: hnv_scenes FOLDER\n", stderr);
    return 2;
  }
  const std::string folder = std::string(argv[1]) + "/";
  const auto forwarded = [](const LineCase& c) { return c.out != nullptr && !c.drop; };
  write_scene(folder + "forwarding.in.pcap",
              {gre_cases(), inner_cases(), source_cases(), l3_cases(), route_cases()}, forwarded);
  write_scene(folder + "answers.in.pcap", {outside_answer_cases(), answer_cases(), leave_cases()},
              [](const LineCase& c) { return c.out != nullptr; });
  write_scene(folder + "forwarding6.in.pcap", {ipv6_cases()}, forwarded);
  write_scene(folder + "answers6.in.pcap", {nd_cases(), icmp6_cases()},
              [](const LineCase& c) { return c.out != nullptr; });
  write_scene(folder + "refusals.in.pcap", all_case_tables(),
              [](const LineCase& c) { return c.out == nullptr; });
  return 0;
}
