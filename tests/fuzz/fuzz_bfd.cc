// SPDX-License-Identifier: Apache-2.0
//
// What a peer sends a BFD session, and when: a byte of eighths of a second, a byte of length, a UDP
// payload; again and again. Nothing may crash, what is understood is written as it was read, and
// the session says only what RFC 5880 lets it say.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "bgp/bfd_session.h"

namespace {

using hnv::BfdPacket;
using hnv::BfdState;

constexpr uint32_t kOurs = 0x01020304;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_sent(const BfdPacket& packet, const hnv::BfdSession& session) {
  require(hnv::read_bfd(hnv::write_bfd(packet)) == packet);
  require(!(packet.poll && packet.final));
  require(packet.state == session.state());
  require(packet.my_discriminator == kOurs);
  require(packet.your_discriminator == session.remote_discriminator());
  // §6.8.3: one second at least while it is not up.
  require(packet.state == BfdState::up || packet.desired_min_transmit >= 1'000'000);
}

// Everything that is due until `end`: a bounded number of packets, none before its time.
void pass(hnv::BfdSession& session, hnv::Instant& now, hnv::Instant end) {
  unsigned sent = 0;
  while (session.due() <= end) {
    now = std::max(now, session.due());
    const auto packet = session.step(now);
    if (packet) check_sent(*packet, session);
    require(++sent < 2'000);  // 32 s in steps of 37.5 ms, and one for each change
  }
  now = end;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hnv::Instant now{1'000'000'000};
  hnv::BfdSession session(
      kOurs,
      {.min_transmit = std::chrono::milliseconds(50), .min_receive = std::chrono::milliseconds(50)},
      1, now);
  bool heard = false;
  while (size >= 2) {
    const auto pause = data[0] * std::chrono::milliseconds(125);
    const size_t bytes = std::min<size_t>(data[1], size - 2);
    const std::span<const uint8_t> payload(data + 2, bytes);
    data += 2 + bytes;
    size -= 2 + bytes;
    pass(session, now, now + pause);
    if (const auto packet = hnv::read_bfd(payload)) {
      require(hnv::read_bfd(hnv::write_bfd(*packet)) == packet);
      const auto answer = session.receive(*packet, now);
      heard = true;
      require(answer.has_value() == packet->poll);
      if (answer) {
        check_sent(*answer, session);
        require(answer->final);
      }
    }
    require(session.state() != BfdState::up || (heard && session.detection_time().count() > 0));
  }
  return 0;
}
