// SPDX-License-Identifier: Apache-2.0
//
// Any IPv4 packet with a sound header, cut to any MTU: each piece is sound and fits, and all
// together hold the payload once, at the offsets they say (RFC 791 §3.2).
#include <algorithm>
#include <cstdlib>
#include <span>
#include <vector>

#include "compartments/checksum.h"
#include "compartments/ip_checks.h"
#include "compartments/line/fragment.h"
#include "tests/fuzz/choices.h"
#include "tests/support/fake_mbufs.h"

namespace hnv {
namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

// Header as the input wants it, but sound; the payload says where each byte belongs.
Bytes packet_of(Choices& c) {
  const unsigned header = 20 + 4 * (c.byte() % 11U);
  const unsigned payload = c.word() % 1980U;
  Bytes bytes = c.rest(header);
  bytes.resize(header + payload);
  for (size_t i = header; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 131 >> 3);
  auto& ip = *reinterpret_cast<wire::Ipv4*>(bytes.data());
  ip.version_ihl = static_cast<uint8_t>(0x40 | header / 4);
  ip.total_length = be16{static_cast<uint16_t>(bytes.size())};
  ip.fragment = be16{static_cast<uint16_t>(ip.fragment.value() & 0x3fff)};  // it may be cut
  set_checksum(ip);
  return bytes;
}

void check_piece(const Bytes& whole, std::span<const uint8_t> piece, uint16_t mtu, bool last,
                 unsigned& at) {
  const auto& before = *reinterpret_cast<const wire::Ipv4*>(whole.data());
  const auto& ip = *reinterpret_cast<const wire::Ipv4*>(piece.data());
  require(piece.size() <= mtu && ipv4_header_fits(ip, static_cast<uint32_t>(piece.size())));
  require(ip.total_length.value() == piece.size() && checksum_right(ip));
  require(ip.source == before.source && ip.destination == before.destination && ip.id == before.id);
  const bool more = !last || (before.fragment.value() & 0x2000) != 0;
  const unsigned offset = (before.fragment.value() & 0x1fffU) + (at - before.header_bytes()) / 8;
  require(ip.fragment.value() == ((more ? 0x2000U : 0U) | offset));
  const size_t payload = piece.size() - ip.header_bytes();
  require(last || (payload > 0 && payload % 8 == 0));
  require(at + payload <= whole.size());
  require(std::equal(piece.begin() + ip.header_bytes(), piece.end(), whole.begin() + at));
  at += static_cast<unsigned>(payload);
}

}  // namespace
}  // namespace hnv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {  // NOLINT: its name
  using namespace hnv;
  static FakeMbufs mbufs;
  Choices c(data, size);
  const auto mtu = static_cast<uint16_t>(kSmallestIpv4Mtu + c.word() % 2000U);
  const Bytes whole = packet_of(c);
  rte_mbuf* mbuf = mbufs.take(whole);
  std::vector<rte_mbuf*> pieces(fragments_needed(*rte_pktmbuf_mtod(mbuf, const wire::Ipv4*), mtu));
  if (pieces.empty()) {
    const auto& ip = *reinterpret_cast<const wire::Ipv4*>(whole.data());
    require(size_t{8} * (ip.fragment.value() & 0x1fffU) + whole.size() > 65535);
    rte_pktmbuf_free(mbuf);
  } else {
    require(fragment(*mbuf, mtu, pieces));
    unsigned at = reinterpret_cast<const wire::Ipv4*>(whole.data())->header_bytes();
    for (size_t i = 0; i < pieces.size(); ++i) {
      check_piece(whole, bytes_of(*pieces[i]), mtu, i + 1 == pieces.size(), at);
      rte_pktmbuf_free(pieces[i]);
    }
    require(at == whole.size());
  }
  require(mbufs.in_use() == 0);
  return 0;
}
