// SPDX-License-Identifier: Apache-2.0
//
// Whole-line behaviour, byte by byte: golden/SCENE.in.pcap through a real line gives
// golden/SCENE.out.pcap and moves the counters as golden/SCENE.json says. Where a change is meant:
//
//   HNV_REGENERATE=1 hnv_test_pipeline       and review the difference (tshark -V, git diff)
//
// The inputs are made from the tables in tests/gateway by hnv_scenes (make_scenes.cc).
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/pipeline/scene.h"
#include "tests/support/frame_text.h"

namespace hnv {
namespace {

class Golden : public testing::TestWithParam<const char*> {};

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_P(Golden, ComesOutAsItWas) {
  const std::string scene = GetParam();
  const SceneResult result = play(read_pcap(golden(scene, "in.pcap")));
  EXPECT_EQ(result.fault, "");
  if (std::getenv("HNV_REGENERATE") != nullptr) {
    write_pcap(golden(scene, "out.pcap"), result.sent);
    std::ofstream(golden(scene, "json")) << result.counters;
    return;
  }
  const auto expected = read_pcap(golden(scene, "out.pcap"));
  for (size_t i = 0; i < std::min(expected.size(), result.sent.size()); ++i) {
    const PcapRecord& want = expected[i];
    const PcapRecord& got = result.sent[i];
    ASSERT_EQ(difference(want.frame, got.frame), "") << "frame " << i;
    ASSERT_EQ(fmt::format("breath {} port {}", got.breath, got.port),
              fmt::format("breath {} port {}", want.breath, want.port))
        << "frame " << i;
  }
  EXPECT_EQ(result.sent.size(), expected.size());
  EXPECT_EQ(result.counters, text_of(golden(scene, "json")));
}

// What each tenant sent is what each tenant sees: their scenes differ in VSID, VLAN and MAC alone,
// so their counters are the same.
TEST_P(Golden, TreatsTwinsAlike) {
  const std::string json = text_of(golden(GetParam(), "json"));
  const size_t contoso = json.find("\"contoso\": {");
  const size_t fabrikam = json.find("\"fabrikam\": {");
  ASSERT_NE(fabrikam, std::string::npos);
  const std::string first = json.substr(contoso + 11, fabrikam - contoso - 11);
  const std::string second = json.substr(fabrikam + 12);
  EXPECT_EQ(first.substr(0, first.rfind('}')), second.substr(0, second.rfind('}') - 2));
}

INSTANTIATE_TEST_SUITE_P(Scenes, Golden, testing::ValuesIn(kScenes),
                         [](const auto& scene) { return std::string(scene.param); });

}  // namespace hnv
