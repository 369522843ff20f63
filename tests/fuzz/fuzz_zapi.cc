// SPDX-License-Identifier: Apache-2.0
//
// Bytes as bgpd's end of a ZAPI connection. Nothing may crash, a refusal says why, and a stream
// means the same whatever the pieces in which it comes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "bgp/zapi_codec.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

// What a message is worth to compare it: its kind, or the refusal.
struct Seen {
  uint32_t vrf;
  size_t kind;
  std::string refusal;
  friend bool operator==(const Seen&, const Seen&) = default;
};

// Bits behind a prefix's length are nobody's business.
void check(const hnv::BgpdMessage& message) {
  if (const auto* route = std::get_if<hnv::ZapiRoute>(&message)) {
    require(hnv::BgpPrefix(route->prefix.address(), route->prefix.length()) == route->prefix);
    require(route->next_hops.size() <= 256);
  }
  if (const auto* watches = std::get_if<hnv::ZapiNextHopWatches>(&message)) {
    require(!watches->watches.empty());
  }
}

std::vector<Seen> read(std::span<const uint8_t> bytes, size_t piece) {
  const hnv::ZapiRelease& release = *hnv::zapi_release_of("8.4.4");
  hnv::ZapiStream stream;
  std::vector<Seen> out;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    stream.feed(bytes.subspan(at, std::min(piece, bytes.size() - at)));
    while (const auto frame = stream.next()) {
      if (!*frame) {
        out.push_back({0, 0, frame->error().message});
        return out;
      }
      const auto message = hnv::decode_zapi(release, **frame);
      require(message || !message.error().message.empty());
      if (message) check(*message);
      out.push_back({(*frame)->vrf, message ? message->index() : 0,
                     message ? std::string() : message.error().message});
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::span<const uint8_t> input(bytes, size);
  require(read(input, 1) == read(input, size + 1));
  return 0;
}
