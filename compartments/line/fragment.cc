// SPDX-License-Identifier: Apache-2.0
#include "compartments/line/fragment.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "compartments/checksum.h"
#include "compartments/line/departure.h"

namespace hnv {
namespace {

constexpr uint16_t kMoreFragments = 0x2000;
constexpr uint16_t kOffsetMask = 0x1fff;
constexpr unsigned kOffsetUnit = 8;
constexpr unsigned kLongestHeader = 60;

// The header of every piece but the first: only the options that say so are copied (RFC 791 §3.1).
struct LaterHeader {
  std::array<uint8_t, kLongestHeader> bytes{};
  unsigned length = sizeof(wire::Ipv4);

  explicit LaterHeader(const wire::Ipv4& ip) {
    constexpr uint8_t kEndOfList = 0;
    constexpr uint8_t kNoOperation = 1;
    constexpr uint8_t kCopied = 0x80;
    std::memcpy(bytes.data(), &ip, sizeof ip);
    const auto* at = reinterpret_cast<const uint8_t*>(&ip) + sizeof ip;
    const auto* end = reinterpret_cast<const uint8_t*>(&ip) + ip.header_bytes();
    while (at < end && *at != kEndOfList) {
      if (*at == kNoOperation) {
        ++at;
        continue;
      }
      // An option that claims more than there is ends the list.
      if (end - at < 2 || at[1] < 2 || at[1] > end - at) break;
      if ((*at & kCopied) != 0) {
        std::memcpy(bytes.data() + length, at, at[1]);
        length += at[1];
      }
      at += at[1];
    }
    length = (length + 3) & ~3U;  // the rest is zero: end of list
    bytes[0] = static_cast<uint8_t>(0x40 | length / 4);
  }
};

unsigned payload_of(unsigned header, uint16_t mtu) { return (mtu - header) & ~(kOffsetUnit - 1); }

void finish(rte_mbuf& piece, unsigned bytes, uint16_t flags_and_offset) {
  auto& ip = *rte_pktmbuf_mtod(&piece, wire::Ipv4*);
  piece.data_len = static_cast<uint16_t>(bytes);
  piece.pkt_len = bytes;
  ip.total_length = be16{static_cast<uint16_t>(bytes)};
  ip.fragment = be16{flags_and_offset};
  set_checksum(ip);
}

}  // namespace

unsigned fragments_needed(const wire::Ipv4& ip, uint16_t mtu) {
  assert(mtu >= kSmallestIpv4Mtu);
  const unsigned total = ip.total_length.value();
  if (total <= mtu) return 1;
  const unsigned begin = (ip.fragment.value() & kOffsetMask) * kOffsetUnit;
  if (begin + total > UINT16_MAX) return 0;
  const unsigned rest = total - ip.header_bytes() - payload_of(ip.header_bytes(), mtu);
  const unsigned later = LaterHeader(ip).length;
  const unsigned each = payload_of(later, mtu);
  // The last piece need not be a multiple of eight.
  const unsigned last = mtu - later;
  return rest <= last ? 2 : 2 + (rest - last + each - 1) / each;
}

bool fragment(rte_mbuf& packet, uint16_t mtu, std::span<rte_mbuf*> pieces) {
  auto& ip = *rte_pktmbuf_mtod(&packet, wire::Ipv4*);
  assert(pieces.size() == fragments_needed(ip, mtu));
  pieces[0] = &packet;
  const auto fresh = static_cast<unsigned>(pieces.size() - 1);
  if (fresh == 0) return true;
  if (rte_pktmbuf_alloc_bulk(packet.pool, pieces.data() + 1, fresh) != 0) return false;

  const LaterHeader later(ip);
  const uint16_t before = ip.fragment.value();
  const bool more_behind = (before & kMoreFragments) != 0;
  const unsigned header = ip.header_bytes();
  const unsigned total = ip.total_length.value();
  const auto* start = rte_pktmbuf_mtod(&packet, const uint8_t*);
  unsigned at = header + payload_of(header, mtu);  // of the packet: where the next piece begins
  for (unsigned i = 1; i <= fresh; ++i) {
    rte_mbuf& piece = *pieces[i];
    const bool last = i == fresh;
    const unsigned payload = last ? total - at : payload_of(later.length, mtu);
    auto* data = rte_pktmbuf_mtod(&piece, uint8_t*);
    std::memcpy(data, later.bytes.data(), later.length);
    std::memcpy(data + later.length, start + at, payload);
    piece.port = packet.port;
    set_departure(piece, departure_of(packet));
    const unsigned offset = (before & kOffsetMask) + (at - header) / kOffsetUnit;
    finish(piece, later.length + payload,
           static_cast<uint16_t>((last && !more_behind ? 0 : kMoreFragments) | offset));
    at += payload;
  }
  finish(packet, header + payload_of(header, mtu),
         static_cast<uint16_t>(kMoreFragments | (before & kOffsetMask)));
  return true;
}

}  // namespace hnv
