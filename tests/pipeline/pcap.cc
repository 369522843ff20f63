// SPDX-License-Identifier: Apache-2.0
#include "tests/pipeline/pcap.h"

#include <array>
#include <cstdint>
#include <fstream>
#include <stdexcept>

namespace hnv {
namespace {

// Little-endian classic pcap: magic, version 2.4, zone, accuracy, snap length, Ethernet.
constexpr std::array<uint32_t, 6> kHeader = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1};

}  // namespace

std::vector<PcapRecord> read_pcap(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::array<uint32_t, 6> header{};
  if (!file.read(reinterpret_cast<char*>(header.data()), sizeof header) || header != kHeader) {
    throw std::runtime_error(path + ": no pcap file of ours");
  }
  std::vector<PcapRecord> out;
  std::array<uint32_t, 4> head{};
  while (file.read(reinterpret_cast<char*>(head.data()), sizeof head)) {
    PcapRecord record{.breath = head[0], .port = head[1], .frame = Bytes(head[2])};
    if (head[2] != head[3] || head[2] > 65535 ||
        !file.read(reinterpret_cast<char*>(record.frame.data()), head[2])) {
      throw std::runtime_error(path + ": cut short");
    }
    out.push_back(std::move(record));
  }
  return out;
}

void write_pcap(const std::string& path, const std::vector<PcapRecord>& records) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(kHeader.data()), sizeof kHeader);
  for (const PcapRecord& record : records) {
    const auto bytes = static_cast<uint32_t>(record.frame.size());
    const std::array<uint32_t, 4> head = {record.breath, record.port, bytes, bytes};
    file.write(reinterpret_cast<const char*>(head.data()), sizeof head);
    file.write(reinterpret_cast<const char*>(record.frame.data()), bytes);
  }
  if (!file.flush()) throw std::runtime_error(path + ": cannot be written");
}

}  // namespace hnv
