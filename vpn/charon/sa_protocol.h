// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The messages between the gateway and the plugin in charon: one message a packet of a
// SOCK_SEQPACKET Unix socket on one machine, so numbers are in the processor's order unless their
// name says else. Addresses, and SPIs as IKE carries them, are in network order. This is the only
// file that both sides share; it needs nothing but the standard library.
//
// The plugin connects. It says `hello`; the gateway answers `welcome`, or ends the connection. Then
// the plugin sends what it still has from before (flag `replayed`) and `sync`; from then on changes
// as charon makes them. Every request but `hello` is answered by one `ack` with its sequence.
//
// A replayed inbound SA carries its key: packets that are under way can be read at once. A replayed
// outbound SA carries none: its sequence number, which is the IV of AES-GCM, is not known to a
// gateway that was restarted. One that still has the SA goes on with it; one that has not answers
// `closed`, and the plugin has charon rekey it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hnv::sa_protocol {

inline constexpr uint16_t kVersion = 1;
inline constexpr size_t kMaxMessage = 4096;

// An inbound SPI, host order: a random tag that is never zero (SPIs below 256 are reserved, RFC
// 4303 §2.1) and the index of the SA, by which the gateway finds it. The gateway gives every charon
// a range of indexes of its own.
inline constexpr unsigned kIndexBits = 16;
inline constexpr uint32_t kIndexes = 1U << kIndexBits;
constexpr uint32_t index_of_spi(uint32_t spi) { return spi & (kIndexes - 1); }
constexpr uint32_t make_spi(uint32_t tag, uint32_t index) { return tag << kIndexBits | index; }

enum class Type : uint16_t {
  hello = 1,      // plugin → gateway
  add_sa = 2,     //
  update_sa = 3,  //
  del_sa = 4,     //
  flush = 5,      // all SAs
  sync = 6,       // everything that is there was sent
  welcome = 16,   // gateway → plugin
  ack = 17,       //
  counters = 18,  // of SAs that were used since the last
  expire = 19,    // a limit of bytes or packets was reached
  mapping = 20,   // authenticated packets come from another address or port (NAT)
  acquire = 21,   // a packet waits for a policy that has no SA
};

struct Header {
  uint16_t type = 0;      // Type
  uint16_t size = 0;      // of the whole message, bytes
  uint32_t sequence = 0;  // of a request; an ack repeats it
};
static_assert(sizeof(Header) == 8);

enum class Slice : uint16_t { v5_9_8_to_5_9_11 = 1 };  // of strongSwan's binary interface

struct Hello {
  Header header;
  uint16_t version = kVersion;
  uint16_t slice = 0;
  uint32_t pid = 0;
  uint64_t incarnation = 0;  // random, of this process of charon
};
static_assert(sizeof(Hello) == 24);

struct Welcome {
  Header header;
  uint16_t version = kVersion;
  uint16_t counters_milliseconds = 0;  // how often counters come, at least
  uint32_t first_index = 0;            // of this charon's range
  uint32_t indexes = 0;                // how many; 1..kIndexes
  uint32_t next_index =
      0;  // where to begin, so that SAs of an earlier charon keep theirs for a while
};
static_assert(sizeof(Welcome) == 24);

struct Endpoint {
  uint8_t address[16] = {};  // IPv4 in the first four
  uint8_t family = 0;        // 4 or 6
  uint8_t zero = 0;
  uint16_t port = 0;  // host order
};
static_assert(sizeof(Endpoint) == 20);

struct Selector {
  uint8_t from[16] = {};
  uint8_t to[16] = {};
  uint16_t from_port = 0;  // host order
  uint16_t to_port = 0;
  uint8_t protocol = 0;  // 0: any
  uint8_t family = 0;    // 4 or 6
  uint16_t zero = 0;
};
static_assert(sizeof(Selector) == 40);

// Flags of add_sa.
inline constexpr uint32_t kInbound = 1 << 0;
inline constexpr uint32_t kUdpEncapsulated = 1 << 1;  // RFC 3948
inline constexpr uint32_t kExtendedSequence = 1 << 2;
inline constexpr uint32_t kCopyDf = 1 << 3;
inline constexpr uint32_t kCopyEcn = 1 << 4;
inline constexpr uint32_t kCopyDscpOut = 1 << 5;  // inner to outer
inline constexpr uint32_t kInitiator = 1 << 6;
inline constexpr uint32_t kReplayed = 1 << 7;
inline constexpr uint32_t kAllFlags = (1 << 8) - 1;

// Limits of volume; the plugin has timers of its own, the gateway enforces the last one (`hard`)
// too.
struct Lifetimes {
  uint64_t hard_seconds = 0;  // from when the message was sent; 0: none
  uint64_t soft_bytes = 0;    // 0: none, as the others
  uint64_t hard_bytes = 0;
  uint64_t soft_packets = 0;
  uint64_t hard_packets = 0;
};
static_assert(sizeof(Lifetimes) == 40);

inline constexpr size_t kMaxKey = 64;          // HMAC-SHA-512; every other is shorter
inline constexpr uint16_t kMaxSelectors = 16;  // of one side

// Followed by `source_selectors + destination_selectors` selectors.
struct AddSa {
  Header header;
  uint32_t spi = 0;  // host order
  uint32_t if_id = 0;
  uint32_t reqid = 0;
  uint32_t flags = 0;
  Endpoint source;
  Endpoint destination;
  uint16_t encryption = 0;  // IKEv2 transform id (RFC 7296 §3.3.2)
  uint16_t integrity = 0;
  uint8_t encryption_key_size = 0;  // with the salt
  uint8_t integrity_key_size = 0;
  uint16_t source_selectors = 0;
  uint32_t replay_window = 0;  // packets
  uint16_t destination_selectors = 0;
  uint16_t zero = 0;
  Lifetimes lifetimes;
  uint8_t encryption_key[kMaxKey] = {};
  uint8_t integrity_key[kMaxKey] = {};
};
static_assert(sizeof(AddSa) == 248);
static_assert(sizeof(AddSa) + size_t{2} * kMaxSelectors * sizeof(Selector) <= kMaxMessage);

// Which SA: inbound by SPI; outbound, whose SPI the peer chose, by SPI and destination.
struct SaName {
  uint32_t spi = 0;
  uint32_t inbound = 0;  // 1 or 0
  Endpoint destination;  // its port does not count
};
static_assert(sizeof(SaName) == 28);

struct UpdateSa {
  Header header;
  SaName name;
  Endpoint source;  // new ones
  Endpoint destination;
  uint32_t udp_encapsulated = 0;  // 1 or 0
};
static_assert(sizeof(UpdateSa) == 80);

struct DelSa {
  Header header;
  SaName name;
};
static_assert(sizeof(DelSa) == 36);

struct Bare {  // flush, sync
  Header header;
};

enum class Status : uint32_t {
  done = 0,
  closed = 1,   // a replayed outbound SA that must be rekeyed before it can be used
  refused = 2,  // the gateway's log says why
  unknown = 3,  // no such SA
};

struct Ack {
  Header header;
  uint32_t status = 0;
  uint32_t zero = 0;
};
static_assert(sizeof(Ack) == 16);

struct SaCounters {
  SaName name;
  uint32_t zero = 0;
  uint64_t bytes = 0;  // since the SA is there
  uint64_t packets = 0;
  uint64_t last_use_seconds = 0;  // CLOCK_MONOTONIC
};
static_assert(sizeof(SaCounters) == 56);

inline constexpr uint16_t kMaxCounters = 64;

struct Counters {  // followed by `count` SaCounters
  Header header;
  uint32_t count = 0;
  uint32_t zero = 0;
};
static_assert(sizeof(Counters) + kMaxCounters * sizeof(SaCounters) <= kMaxMessage);

struct Expire {
  Header header;
  SaName name;
  uint32_t hard = 0;  // 1 or 0
};
static_assert(sizeof(Expire) == 40);

struct Mapping {
  Header header;
  SaName name;      // an inbound SA
  Endpoint remote;  // where its packets come from now
};
static_assert(sizeof(Mapping) == 56);

struct Acquire {
  Header header;
  uint32_t reqid = 0;
  uint32_t zero = 0;
};
static_assert(sizeof(Acquire) == 16);

}  // namespace hnv::sa_protocol
