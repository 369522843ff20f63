// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "vpn/charon/sa_protocol.h"

namespace hnv::charon {

// A message as its bytes, its length filled in; the copy that was handed in, which may hold keys,
// is wiped.
template <class T>
std::vector<uint8_t> bytes_of(sa_protocol::Type type, uint32_t sequence, T message,
                              const std::vector<sa_protocol::Selector>& selectors = {}) {
  const size_t tail = selectors.size() * sizeof(sa_protocol::Selector);
  message.header = {static_cast<uint16_t>(type), static_cast<uint16_t>(sizeof message + tail),
                    sequence};
  std::vector<uint8_t> out(sizeof message + tail);
  std::memcpy(out.data(), &message, sizeof message);
  if (tail > 0) std::memcpy(out.data() + sizeof message, selectors.data(), tail);
  explicit_bzero(&message, sizeof message);
  return out;
}

}  // namespace hnv::charon
