// SPDX-License-Identifier: Apache-2.0
//
// Bytes as charon's end of a VICI connection. Nothing may crash; what is read is written and read
// again as the same; and a stream means the same whatever the pieces in which it comes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <vector>

#include "vpn/vici_codec.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

// Names of no bytes are read, but charon sends none and we write none.
bool writable(const hnv::ViciSection& section) {
  for (const auto& item : section.items) {
    if (item.name.empty()) return false;
    const auto* inner = std::get_if<hnv::ViciSection>(&item.value);
    if (inner != nullptr && !writable(*inner)) return false;
  }
  return true;
}

void check_packet(std::span<const uint8_t> bytes) {
  const auto packet = hnv::decode_vici(bytes);
  if (!packet) return require(!packet.error().message.empty());
  (void)hnv::to_string(packet->message);
  if (bytes.size() > hnv::kMaxViciPacket || !writable(packet->message)) return;
  const auto again = hnv::encode(*packet);
  if (!again) return require(packet->name.empty());
  require(again->bytes().size() == bytes.size() + 4);
  require(std::equal(bytes.begin(), bytes.end(), again->bytes().begin() + 4));
}

size_t packets_in(std::span<const uint8_t> bytes, size_t piece) {
  hnv::ViciStream stream;
  size_t packets = 0;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    stream.feed(bytes.subspan(at, std::min(piece, bytes.size() - at)));
    while (const auto packet = stream.next()) {
      if (!*packet) return packets;
      ++packets;
    }
  }
  return packets;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::span<const uint8_t> input(bytes, size);
  check_packet(input);
  require(packets_in(input, 1) == packets_in(input, size + 1));
  return 0;
}
