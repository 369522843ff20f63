// SPDX-License-Identifier: Apache-2.0
//
// What the plugin in charon and the gateway tell each other, as values and as the bytes of
// vpn/charon/sa_protocol.h. Pure. Whatever is decoded was checked: sizes, enumerations, families,
// key lengths, ranges; nothing of a message is used before all of it is.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "compartments/clock.h"
#include "compartments/result.h"
#include "vpn/charon/sa_protocol.h"
#include "vpn/sa_database.h"
#include "vpn/sa_spec.h"

namespace hnv {

struct SaHello {
  uint16_t version = 0;
  uint16_t slice = 0;
  uint32_t pid = 0;
  uint64_t incarnation = 0;
};
struct SaAdd {
  SaSpec spec;  // of a replayed outbound SA without keys
  SaDatabase::Origin origin = SaDatabase::Origin::fresh;
  Duration hard{};  // zero: none
};
struct SaUpdate {
  SaName name;
  SaEndpoint source;
  SaEndpoint destination;
  SaEncapsulation encapsulation = SaEncapsulation::none;
};
struct SaDelete {
  SaName name;
};
struct SaFlush {};
struct SaSync {};

struct SaRequest {
  uint32_t sequence = 0;
  std::variant<SaHello, SaAdd, SaUpdate, SaDelete, SaFlush, SaSync> what;
};

// One message of the plugin. The keys are copied once, into SecretBytes; wiping `message` is the
// caller's. The error says what was wrong, never what a key was.
[[nodiscard]] Result<SaRequest> decode_sa_request(std::span<const uint8_t> message);

// Messages to the plugin.
using SaMessage = std::vector<uint8_t>;
struct SaWelcome {
  Duration counters_every = std::chrono::seconds(1);
  SaDatabase::IndexRange range;
  uint32_t next_index = 0;
};
[[nodiscard]] SaMessage encode(const SaWelcome& welcome);
[[nodiscard]] SaMessage encode_ack(uint32_t sequence, sa_protocol::Status status);
// REQUIRES at most sa_protocol::kMaxCounters reports.
[[nodiscard]] SaMessage encode(std::span<const SaReport> reports);
[[nodiscard]] SaMessage encode(const SaExpiry& expiry);
[[nodiscard]] SaMessage encode_mapping(const SaName& inbound, const SaEndpoint& remote);
[[nodiscard]] SaMessage encode_acquire(uint32_t reqid);

}  // namespace hnv
