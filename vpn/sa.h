// SPDX-License-Identifier: Apache-2.0
//
// An SA that is in use: what was negotiated, immutable and made ready for the packets, and what
// changes with every packet.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "compartments/counter.h"
#include "compartments/wire.h"
#include "vpn/esp_cipher.h"
#include "vpn/replay_window.h"
#include "vpn/sa_spec.h"

namespace hnv {

// What changes with every packet of one SA. Made with it, shared by all its later versions, so that
// neither a sequence number nor a place in the window is ever used twice. Owner: the worker of the
// tunnel; the counters may be read by any thread.
struct alignas(64) SaState {
  // `cipher` is null in an SA that is not used: one without keys.
  SaState(uint32_t replay_packets, std::shared_ptr<EspKeys> cipher)
      : keys(std::move(cipher)), window(replay_packets) {}

  Counter packets;
  Counter bytes;          // of inner packets
  Counter last;           // nanoseconds of the Instant of the latest packet; 0: none yet
  uint64_t sequence = 0;  // outbound: the latest that was used
  uint64_t told_at = 0;   // nanoseconds: when the control thread was last told something of it
  std::shared_ptr<EspKeys> keys;
  alignas(64) ReplayWindow window;  // inbound

  void count(uint32_t inner_bytes, Instant now) {
    packets.add();
    bytes.add(inner_bytes);
    last.add(now.nanoseconds - last.value());
  }
  [[nodiscard]] SaUse use() const {
    return {.bytes = bytes.value(), .packets = packets.value(), .last = {last.value()}};
  }
};

// `uid` names it for good, across changes of the endpoints.
struct alignas(64) Sa {
  // Two lines that packets touch. Outer IP, UDP and ESP header up to the sequence number, as they
  // are sent or expected; lengths, traffic class and IPv4's identification, flags and checksum come
  // per packet.
  static constexpr size_t kHeader = 56;
  static constexpr size_t kHotBytes = 128;
  std::array<uint8_t, kHeader> header{};
  SaState* state = nullptr;  // of state_owner; never null in an SaTable
  // The second one.
  uint64_t uid = 0;
  uint32_t if_id = 0;
  uint32_t spi = 0;
  IpAddress<Space::external> local;  // our end
  uint16_t header_sum = 0;           // folded sum of the outer IPv4 header as it stands above
  uint8_t esp_at = 0;                // bytes in front of the ESP header
  EspFormat format;
  uint8_t class_bits = 0;  // of the inner traffic class, that the outer one takes over
  bool outer_ipv6 = false;
  bool udp = false;
  bool copy_df = false;
  bool copy_ecn = true;
  bool extended = false;         // sequence numbers
  bool random_iv = false;        // CBC; else the IV is the sequence number
  bool covers_all_ipv4 = false;  // the selectors: nothing need be asked
  bool covers_all_ipv6 = false;
  // Slow path.
  SaSpec spec;
  std::shared_ptr<SaState> state_owner;

  // Addresses of the outer header. REQUIRES that it is of that family.
  [[nodiscard]] const wire::Ipv4& outer_v4() const {
    return *reinterpret_cast<const wire::Ipv4*>(header.data());
  }
  [[nodiscard]] const wire::Ipv6& outer_v6() const {
    return *reinterpret_cast<const wire::Ipv6*>(header.data());
  }
  void prefetch() const {
    __builtin_prefetch(this);
    __builtin_prefetch(reinterpret_cast<const uint8_t*>(this) + kHotBytes / 2);
  }

  // What every packet grows by, but for padding and trailer.
  [[nodiscard]] uint32_t overhead() const {
    return esp_at + 8U + format.iv_bytes + format.icv_bytes;
  }
  // The largest inner packet that fits an outer one of so many bytes.
  [[nodiscard]] uint16_t inner_mtu(uint16_t outer_mtu) const {
    const uint32_t room = (outer_mtu - overhead()) & ~(format.alignment - 1U);
    return outer_mtu < overhead() + 64U ? uint16_t{0} : static_cast<uint16_t>(room - 2U);
  }
};

[[nodiscard]] std::shared_ptr<const Sa> make_sa(uint64_t uid, SaSpec spec,
                                                std::shared_ptr<SaState> state);

}  // namespace hnv
