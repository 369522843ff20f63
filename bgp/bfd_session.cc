// SPDX-License-Identifier: Apache-2.0
#include "bgp/bfd_session.h"

#include <algorithm>

namespace hnv {
namespace {

// §6.8.3: while the session is not up, packets are no more frequent than that.
constexpr Duration kSlow = std::chrono::seconds(1);
constexpr Instant kNever{UINT64_MAX};

uint32_t microseconds(Duration d) {
  return static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(d).count());
}
Duration from_wire(uint32_t microseconds) { return std::chrono::microseconds(microseconds); }

}  // namespace

BfdSession::BfdSession(uint32_t discriminator, const BfdTimers& timers, uint32_t seed, Instant now)
    : discriminator_(discriminator), timers_(timers), random_(seed), next_(now), last_sent_(now) {
  wish();
}

// What is asked of the other side, from the configuration and the state (§6.8.3).
void BfdSession::wish() {
  const Duration transmit =
      state_ == BfdState::up ? timers_.min_transmit : std::max(timers_.min_transmit, kSlow);
  const Duration receive = timers_.min_receive;
  if (transmit == said_transmit_ && receive == said_receive_) return;
  // Slower packets, and sooner doubts, only when the other side knows of them.
  const bool agreed_first = state_ == BfdState::up;
  if (!agreed_first || transmit < said_transmit_) used_transmit_ = transmit;
  if (!agreed_first || receive > said_receive_) used_receive_ = receive;
  said_transmit_ = transmit;
  said_receive_ = receive;
  polling_ = remote_discriminator_ != 0;
}

void BfdSession::set(const BfdTimers& timers, Instant now) {
  if (timers == timers_) return;
  timers_ = timers;
  wish();
  next_ = std::min(next_, now);
}

Duration BfdSession::detection_time() const {
  return remote_multiplier_ * std::max(used_receive_, remote_min_transmit_);
}

Duration BfdSession::transmit_interval() const {
  return std::max(used_transmit_, remote_min_receive_);
}

// §6.8.7: not to one that wants none, nor periodically while the other side is in demand mode.
bool BfdSession::silent() const {
  if (remote_min_receive_ == Duration{0}) return true;
  return remote_demand_ && state_ == BfdState::up && remote_state_ == BfdState::up && !polling_;
}

void BfdSession::go(BfdState state, BfdDiagnostic why, Instant now) {
  if (state == state_) return;
  state_ = state;
  diagnostic_ = why;
  wish();
  next_ = now;  // §6.8.7: a change is told at once
}

// §6.8.6, the last part.
void BfdSession::advance(Instant now) {
  if (remote_state_ == BfdState::admin_down) {
    return go(BfdState::down, BfdDiagnostic::neighbor_signaled_down, now);
  }
  switch (state_) {
    case BfdState::down:
      if (remote_state_ == BfdState::down) go(BfdState::init, diagnostic_, now);
      if (remote_state_ == BfdState::init) go(BfdState::up, BfdDiagnostic::none, now);
      break;
    case BfdState::init:
      if (remote_state_ != BfdState::down) go(BfdState::up, BfdDiagnostic::none, now);
      break;
    case BfdState::up:
      if (remote_state_ == BfdState::down) {
        go(BfdState::down, BfdDiagnostic::neighbor_signaled_down, now);
      }
      break;
    case BfdState::admin_down:
      break;
  }
}

std::optional<BfdPacket> BfdSession::receive(const BfdPacket& packet, Instant now) {
  const Duration interval = transmit_interval();
  remote_discriminator_ = packet.my_discriminator;
  remote_state_ = packet.state;
  remote_demand_ = packet.demand;
  remote_multiplier_ = packet.multiplier;
  remote_min_receive_ = from_wire(packet.required_min_receive);
  remote_min_transmit_ = from_wire(packet.desired_min_transmit);
  if (polling_ && packet.final) {
    polling_ = false;
    used_transmit_ = said_transmit_;
    used_receive_ = said_receive_;
  }
  heard_ = now;
  advance(now);
  if (transmit_interval() != interval && next_ > now) {
    schedule(last_sent_);
    next_ = std::max(next_, now);
  }
  if (!packet.poll) return std::nullopt;
  BfdPacket answer = this->packet();
  answer.poll = false;  // §6.5: never together
  answer.final = true;
  return answer;
}

std::optional<BfdPacket> BfdSession::step(Instant now) {
  if (heard_ && now >= *heard_ + detection_time()) {
    heard_.reset();
    remote_discriminator_ = 0;  // §6.8.1
    polling_ = false;
    if (state_ == BfdState::init || state_ == BfdState::up) {
      go(BfdState::down, BfdDiagnostic::detection_time_expired, now);
    }
  }
  if (now < next_ || silent()) return std::nullopt;
  last_sent_ = now;
  schedule(now);
  return packet();
}

Instant BfdSession::due() const {
  const Instant send = silent() ? kNever : next_;
  return heard_ ? std::min(send, *heard_ + detection_time()) : send;
}

// §6.8.7: up to a quarter less, so that senders do not fall into step.
void BfdSession::schedule(Instant from) {
  const Duration interval = transmit_interval();
  next_ = from +
          (interval - Duration(static_cast<Duration::rep>(random_()) % (interval.count() / 4 + 1)));
}

BfdPacket BfdSession::packet() const {
  return {.state = state_,
          .diagnostic = diagnostic_,
          .poll = polling_,
          .multiplier = timers_.multiplier,
          .my_discriminator = discriminator_,
          .your_discriminator = remote_discriminator_,
          .desired_min_transmit = microseconds(said_transmit_),
          .required_min_receive = microseconds(said_receive_),
          .required_min_echo = 0};
}

BfdPacket BfdSession::farewell() const {
  BfdPacket last = packet();
  last.state = BfdState::admin_down;
  last.diagnostic = BfdDiagnostic::administratively_down;
  last.poll = false;
  return last;
}

}  // namespace hnv
