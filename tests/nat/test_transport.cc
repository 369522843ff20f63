// SPDX-License-Identifier: Apache-2.0
//
// Transport headers: whatever is rewritten, every checksum is what a full sum over the packet says;
// and no byte behind a packet is ever read (buffers are as long as the packet; run it with ASan).
#include <cstring>
#include <memory>

#include <gtest/gtest.h>

#include "compartments/checksum.h"
#include "compartments/ip_checks.h"
#include "nat/transport.h"
#include "tests/support/nat_network.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

// A packet in a buffer of exactly its size.
class Exact {
 public:
  explicit Exact(const Bytes& bytes)
      : size_(bytes.size()), bytes_(std::make_unique<uint8_t[]>(bytes.size())) {
    std::memcpy(bytes_.get(), bytes.data(), size_);
  }
  [[nodiscard]] wire::Ipv4& ip() { return *reinterpret_cast<wire::Ipv4*>(bytes_.get()); }
  [[nodiscard]] Bytes bytes() const { return {bytes_.get(), bytes_.get() + size_}; }

 private:
  size_t size_;
  std::unique_ptr<uint8_t[]> bytes_;
};

std::string address(Random& random) {
  return IpAddress<Space::customer>(CaAddress(static_cast<uint32_t>(random()))).to_string();
}
uint16_t port(Random& random) { return static_cast<uint16_t>(random() % 65535 + 1); }
Bytes payload(Random& random, size_t most) {
  Bytes out(random() % (most + 1));
  for (uint8_t& byte : out) byte = static_cast<uint8_t>(random());
  return out;
}

NatPacket some_packet(Random& random) {
  constexpr uint8_t kProtocols[] = {6, 17, 17, 1, 136, 33};
  NatPacket p = nat_udp(address(random), port(random), address(random), port(random));
  p.protocol = kProtocols[random() % std::size(kProtocols)];
  p.flags = static_cast<uint8_t>(random());
  p.payload = payload(random, 40);
  p.without_checksum = p.protocol == 17 && random() % 8 == 0;
  p.id = static_cast<uint16_t>(random());
  if (random() % 4 == 0) p.options = {1, 1, 1, 1};
  return p;
}

TEST(Transport, RewritesWithRightChecksums) {
  Random random(1);
  for (int i = 0; i < 50'000; ++i) {
    const NatPacket p = some_packet(random);
    Exact packet(p.bytes());
    const Transport transport = read_transport(packet.ip());
    const Side4 side = random() % 2 == 0 ? Side4::source : Side4::destination;
    const std::string to = address(random);
    const uint16_t to_port = port(random);
    rewrite_endpoint(packet.ip(), transport, side, be32{ip4(to)}, be16{to_port});
    std::string fault;
    const NatPacket seen = parse_packet(packet.bytes(), fault);
    ASSERT_EQ(fault, "") << i << " protocol " << int{p.protocol};
    ASSERT_EQ(side == Side4::source ? seen.from : seen.to, to);
    ASSERT_EQ(side == Side4::source ? seen.to : seen.from, side == Side4::source ? p.to : p.from);
    ASSERT_EQ(seen.without_checksum, p.without_checksum);
    ASSERT_EQ(seen.payload, p.payload);
    if (transport.kind == TransportKind::ports) {
      ASSERT_EQ(side == Side4::source ? seen.from_port : seen.to_port, to_port);
    }
    if (p.protocol == 1) {
      ASSERT_EQ(seen.from_port, to_port);
    }
  }
}

// Of the two zeros of one's complement, UDP may only write the one that is not "no checksum".
TEST(Transport, NeverTurnsAUdpChecksumIntoNone) {
  const Bytes before = nat_udp("10.0.1.11", 5000, "192.0.2.80", 53).bytes();
  unsigned ones = 0;
  for (uint32_t to = 1; to < 65536; ++to) {
    Exact packet(before);
    const Transport transport = read_transport(packet.ip());
    rewrite_endpoint(packet.ip(), transport, Side4::source, be32{ip4("198.51.100.4")},
                     be16{static_cast<uint16_t>(to)});
    const Bytes after = packet.bytes();
    ASSERT_TRUE(after[26] != 0 || after[27] != 0) << to;
    ones += after[26] == 0xff && after[27] == 0xff ? 1 : 0;
  }
  EXPECT_EQ(ones, 1U);
}

TEST(Transport, RewritesWhatAnErrorQuotes) {
  Random random(2);
  unsigned read = 0;
  for (int i = 0; i < 50'000; ++i) {
    const NatPacket about = some_packet(random);
    NatPacket error = error_about(about, address(random), random() % 2 == 0 ? 3 : 11, 1, 0);
    // All of it, or as little as eight bytes of the transport header; an odd number of bytes, too.
    const size_t least = 28 + about.options.size();
    if (error.payload.size() < least) continue;
    error.payload.resize(least + random() % (error.payload.size() - least + 1));
    Exact packet(error.bytes());
    const Transport transport = read_transport(packet.ip());
    ASSERT_EQ(transport.kind, TransportKind::icmp_error);
    Quoted quoted;
    ASSERT_TRUE(read_quoted(packet.ip(), transport, quoted)) << i;
    ++read;
    const Side4 side = random() % 2 == 0 ? Side4::source : Side4::destination;
    const std::string to = address(random);
    const uint16_t to_port = port(random);
    rewrite_quoted(packet.ip(), transport, quoted, side, be32{ip4(to)}, be16{to_port});
    std::string fault;
    const NatPacket seen = parse_packet(packet.bytes(), fault);
    ASSERT_EQ(fault, "") << i;
    std::string inner_fault;
    if (seen.payload.size() < least + 12) continue;  // for parse_packet
    const NatPacket inner = parse_packet(seen.payload, inner_fault);
    ASSERT_EQ(inner_fault, "") << i;
    ASSERT_EQ(side == Side4::source ? inner.from : inner.to, to);
    if (about.protocol == 6 || about.protocol == 17) {
      ASSERT_EQ(side == Side4::source ? inner.from_port : inner.to_port, to_port);
    }
  }
  EXPECT_GT(read, 40'000U);
}

TEST(Transport, ClampsTheMssWithARightChecksum) {
  for (const unsigned before_option : {0U, 1U, 2U, 3U}) {
    for (const uint16_t mss : std::initializer_list<uint16_t>{536, 1360, 1400, 1460, 9000}) {
      NatPacket syn = nat_tcp("10.0.1.11", 5000, "192.0.2.80", 80);
      syn.payload.clear();
      Bytes bytes = syn.bytes();
      // Some no-operations, the option, and more of them up to a multiple of four.
      for (unsigned i = 0; i < before_option; ++i) bytes.push_back(1);
      for (const unsigned byte : {2U, 4U, mss / 256U, mss % 256U}) {
        bytes.push_back(static_cast<uint8_t>(byte));
      }
      while (bytes.size() % 4 != 0) bytes.push_back(1);
      bytes[3] = static_cast<uint8_t>(bytes.size());
      bytes[32] = static_cast<uint8_t>((bytes.size() - 20) / 4 << 4);
      bytes[36] = bytes[37] = 0;
      Exact packet(bytes);
      set_checksum(packet.ip());
      uint64_t sum = checksum_sum(bytes.data() + 12, 8) + be16{6}.raw();
      sum += be16{static_cast<uint16_t>(bytes.size() - 20)}.raw();
      sum += checksum_sum(bytes.data() + 20, bytes.size() - 20);
      reinterpret_cast<wire::Tcp*>(&packet.ip() + 1)->checksum =
          be16::from_raw(static_cast<uint16_t>(~checksum_fold(sum)));
      clamp_mss(packet.ip(), read_transport(packet.ip()), 1360);
      std::string fault;
      (void)parse_packet(packet.bytes(), fault);
      EXPECT_EQ(fault, "") << before_option << " " << mss;
      const Bytes after = packet.bytes();
      const size_t at = 40 + before_option + 2;
      EXPECT_EQ(after[at] << 8 | after[at + 1], std::min<int>(mss, 1360));
    }
  }
}

TEST(Transport, ReadsNothingBehindAPacket) {
  Random random(3);
  for (int i = 0; i < 200'000; ++i) {
    Bytes bytes(20 + random() % 80);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    const auto words = static_cast<uint8_t>(5 + random() % 3);
    bytes[0] = 0x40 | words;
    bytes[2] = 0;
    bytes[3] = static_cast<uint8_t>(bytes.size());
    if (random() % 4 != 0) bytes[6] = bytes[7] = 0;
    constexpr uint8_t kProtocols[] = {1, 1, 1, 6, 17, 136, 47};
    bytes[9] = kProtocols[random() % std::size(kProtocols)];
    Exact packet(bytes);
    if (!ipv4_header_fits(packet.ip(), static_cast<uint32_t>(bytes.size()))) continue;
    (void)has_harmful_option(packet.ip());
    const size_t header = packet.ip().header_bytes();
    if (bytes[9] == 1 && bytes.size() >= header + 28 && random() % 2 == 0) {
      // An error that comes further: its own checksum and the quoted header's are right.
      Bytes nearly = bytes;
      nearly[header] = 3;
      nearly[header + 8] = static_cast<uint8_t>(0x40 | (random() % 12));
      nearly[header + 2] = nearly[header + 3] = 0;
      const size_t inner = size_t{nearly[header + 8] & 15U} * 4;
      if (inner >= 20 && nearly.size() >= header + 8 + inner) {
        nearly[header + 18] = nearly[header + 19] = 0;
        const be16 sum = checksum_of(nearly.data() + header + 8, inner);
        std::memcpy(nearly.data() + header + 18, &sum, 2);
      }
      const be16 sum = checksum_of(nearly.data() + header, nearly.size() - header);
      std::memcpy(nearly.data() + header + 2, &sum, 2);
      packet = Exact(nearly);
    }
    const Transport transport = read_transport(packet.ip());
    if (transport.kind == TransportKind::bad) continue;
    if (transport.kind == TransportKind::icmp_error) {
      Quoted quoted;
      if (!read_quoted(packet.ip(), transport, quoted)) continue;
      rewrite_quoted(packet.ip(), transport, quoted, Side4::source, be32{1}, be16{2});
    }
    if (transport.kind == TransportKind::ports && transport.protocol == 6) {
      clamp_mss(packet.ip(), transport, 500);
    }
    rewrite_endpoint(packet.ip(), transport, Side4::destination, be32{3}, be16{4});
  }
}

}  // namespace
}  // namespace hnv
