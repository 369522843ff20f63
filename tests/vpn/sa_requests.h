// SPDX-License-Identifier: Apache-2.0
//
// Messages as the plugin in charon sends them.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "vpn/charon/sa_protocol.h"

namespace hnv {

using Message = std::vector<uint8_t>;

template <class T>
Message raw(sa_protocol::Type type, uint32_t sequence, T fixed,
            std::span<const sa_protocol::Selector> selectors = {}) {
  fixed.header = {static_cast<uint16_t>(type),
                  static_cast<uint16_t>(sizeof fixed + selectors.size_bytes()), sequence};
  Message out(sizeof fixed + selectors.size_bytes());
  std::memcpy(out.data(), &fixed, sizeof fixed);
  if (!selectors.empty()) {
    std::memcpy(out.data() + sizeof fixed, selectors.data(), selectors.size_bytes());
  }
  return out;
}

inline sa_protocol::Endpoint wire_endpoint(uint8_t last, uint16_t port = 500) {
  sa_protocol::Endpoint out{{203, 0, 113, last}, 4, 0, port};
  return out;
}

inline sa_protocol::Selector everything() {
  sa_protocol::Selector out{};
  std::memset(out.to, 0xff, 4);
  out.to_port = 65535;
  out.family = 4;
  return out;
}

// AES-256-GCM with its salt: key bytes 1, 2, 3 …
inline sa_protocol::AddSa add_message(uint32_t spi, uint32_t if_id, uint32_t flags) {
  sa_protocol::AddSa out{};
  const bool inbound = (flags & sa_protocol::kInbound) != 0;
  out.spi = spi;
  out.if_id = if_id;
  out.flags = flags;
  out.source = wire_endpoint(inbound ? 9 : 1);
  out.destination = wire_endpoint(inbound ? 1 : 9);
  out.encryption = 20;
  out.integrity = 1024;
  out.encryption_key_size = 36;
  for (uint8_t i = 0; i < 36; ++i) out.encryption_key[i] = static_cast<uint8_t>(i + 1);
  out.source_selectors = 1;
  out.destination_selectors = 1;
  out.replay_window = 1024;
  return out;
}

inline Message add_request(uint32_t sequence, const sa_protocol::AddSa& add) {
  const std::vector<sa_protocol::Selector> selectors(
      size_t{add.source_selectors} + add.destination_selectors, everything());
  return raw(sa_protocol::Type::add_sa, sequence, add, selectors);
}

inline Message hello_request(uint16_t version = sa_protocol::kVersion) {
  sa_protocol::Hello hello{};
  hello.version = version;
  hello.slice = static_cast<uint16_t>(sa_protocol::Slice::v5_9_8_to_5_9_11);
  hello.pid = 4711;
  hello.incarnation = 0x1122334455667788;
  return raw(sa_protocol::Type::hello, 1, hello);
}

inline sa_protocol::SaName wire_name(uint32_t spi, uint32_t inbound) {
  return {spi, inbound, wire_endpoint(inbound == 1 ? 1 : 9, 0)};
}

}  // namespace hnv
