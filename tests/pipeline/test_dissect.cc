// SPDX-License-Identifier: Apache-2.0
//
// A foreign eye on what the line sends: tshark takes every frame apart, checks its IP checksums and
// finds no error in it.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "tests/pipeline/scene.h"

namespace hnv {
namespace {

// What a command writes; its exit status in `status`.
std::string output_of(const std::string& command, int& status) {
  FILE* pipe = popen(command.c_str(), "r");
  std::string out;
  std::array<char, 4096> some{};
  for (size_t n = 0; (n = fread(some.data(), 1, some.size(), pipe)) > 0;)
    out.append(some.data(), n);
  status = pclose(pipe);
  return out;
}

constexpr const char* kTshark =
    "tshark -n -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE -r ";

}  // namespace

TEST(Dissect, TsharkFindsNoErrorInWhatIsSent) {
  int status = 0;
  (void)output_of("tshark --version 2>/dev/null", status);
  if (status != 0) GTEST_SKIP() << "tshark is not installed";
  for (const char* scene : kScenes) {
    const std::string path = golden(scene, "out.pcap");
    const auto frames = read_pcap(path).size();
    const std::string numbers =
        output_of(kTshark + path + " -T fields -e frame.number 2>/dev/null", status);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(static_cast<size_t>(std::count(numbers.begin(), numbers.end(), '\n')), frames);
    const std::string errors = output_of(
        kTshark + path + " -Y '_ws.malformed || _ws.expert.severity == \"Error\"' 2>/dev/null",
        status);
    EXPECT_EQ(status, 0) << "the filter is wrong";
    EXPECT_EQ(errors, "") << scene;
  }
}

}  // namespace hnv
