// SPDX-License-Identifier: Apache-2.0
//
// One session of BFD (RFC 5880): asynchronous mode, active role, no echo, no authentication. Pure:
// packets that were received go in, packets to be sent come out, and time is passed in.
//
//   Down ── Down received ──▶ Init ── Init or Up received ──▶ Up
//   Down ── Init received ───────────────────────────────────▶ Up
//   Init, Up ── AdminDown received, or nothing for the detection time ──▶ Down
//   Up ── Down received ─────────────────────────────────────────────────▶ Down
//
// Which packet is a session's, and that it came as far as it may (TTL), is the caller's matter.
#pragma once

#include <cstdint>
#include <optional>
#include <random>

#include "bgp/bfd_packet.h"
#include "compartments/clock.h"

namespace hnv {

struct BfdTimers {
  Duration min_transmit = std::chrono::milliseconds(300);  // 50 ms to 60 s, as the next
  Duration min_receive = std::chrono::milliseconds(300);
  uint8_t multiplier = 3;  // 2 to 255
  friend bool operator==(const BfdTimers&, const BfdTimers&) = default;
};

class BfdSession {
 public:
  // `discriminator` is not 0, and no other session's. `seed` is for the jitter.
  BfdSession(uint32_t discriminator, const BfdTimers& timers, uint32_t seed, Instant now);

  // Other values. A session that is up stays so: both sides agree by a poll sequence (§6.8.3).
  void set(const BfdTimers& timers, Instant now);

  // Of the other side. An answer that must go out at once (a Final, §6.5).
  [[nodiscard]] std::optional<BfdPacket> receive(const BfdPacket& packet, Instant now);
  // What is due by `now`: the session may go down, and a packet may have to be sent.
  [[nodiscard]] std::optional<BfdPacket> step(Instant now);
  // When step() has something to do next.
  [[nodiscard]] Instant due() const;
  // A last word (§6.8.16): the other side shall not take the silence for a failure.
  [[nodiscard]] BfdPacket farewell() const;

  [[nodiscard]] BfdState state() const { return state_; }
  [[nodiscard]] BfdState remote_state() const { return remote_state_; }
  // Why it is down; none once it is up.
  [[nodiscard]] BfdDiagnostic diagnostic() const { return diagnostic_; }
  [[nodiscard]] uint32_t discriminator() const { return discriminator_; }
  [[nodiscard]] uint32_t remote_discriminator() const { return remote_discriminator_; }
  // What both have agreed on: without packets for so long it is down. 0: nobody was heard yet.
  [[nodiscard]] Duration detection_time() const;
  [[nodiscard]] Duration transmit_interval() const;  // before the jitter

 private:
  void go(BfdState state, BfdDiagnostic why, Instant now);
  void advance(Instant now);
  void wish();
  void schedule(Instant from);
  [[nodiscard]] bool silent() const;
  [[nodiscard]] BfdPacket packet() const;

  uint32_t discriminator_;
  BfdTimers timers_;  // configured
  std::minstd_rand random_;

  BfdState state_ = BfdState::down;
  BfdState remote_state_ = BfdState::down;
  BfdDiagnostic diagnostic_ = BfdDiagnostic::none;
  uint32_t remote_discriminator_ = 0;
  bool remote_demand_ = false;
  uint8_t remote_multiplier_ = 0;
  Duration remote_min_receive_{std::chrono::microseconds(1)};  // §6.8.1
  Duration remote_min_transmit_{0};

  // What packets say, and what is in force: they differ while a poll sequence is under way.
  Duration said_transmit_{0}, said_receive_{0};
  Duration used_transmit_{0}, used_receive_{0};
  bool polling_ = false;

  std::optional<Instant> heard_;  // the last packet, until the detection time has passed
  Instant next_;                  // when to send
  Instant last_sent_;
};

}  // namespace hnv
