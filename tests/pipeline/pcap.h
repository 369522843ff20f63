// SPDX-License-Identifier: Apache-2.0
//
// pcap files of whole-line scenes. A record's seconds are the breath and its microseconds the port
// on which the frame came or went, so that any pcap tool shows a scene in order.
#pragma once

#include <string>
#include <vector>

#include "tests/support/fake_mbufs.h"

namespace hnv {

struct PcapRecord {
  uint32_t breath = 0;
  uint32_t port = 0;
  Bytes frame;
  friend bool operator==(const PcapRecord&, const PcapRecord&) = default;
};

// Throws std::runtime_error on what it did not write itself.
[[nodiscard]] std::vector<PcapRecord> read_pcap(const std::string& path);
void write_pcap(const std::string& path, const std::vector<PcapRecord>& records);

}  // namespace hnv
