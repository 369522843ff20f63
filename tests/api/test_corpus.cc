// SPDX-License-Identifier: Apache-2.0
//
// The JSON decoders' fuzz corpus as unit tests: every file ever found worth keeping.
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size);

namespace {

TEST(JsonDecodeCorpus, EveryFileIsDecodedOrRefused) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(HNV_CORPUS)) {
    SCOPED_TRACE(entry.path().string());
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    ++files;
  }
  EXPECT_GT(files, 20U);
}

}  // namespace
