// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a frame on any port: first byte the port, the rest the frame.
#include "tests/fuzz/fuzz_world.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {  // NOLINT: its name
  if (size == 0) return 0;
  hnv::fuzz_world().send(data[0] & 1U, hnv::Bytes(data + 1, data + size));
  return 0;
}
