// SPDX-License-Identifier: Apache-2.0
#include "vpn/sa_messages.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace hnv {
namespace {

namespace protocol = sa_protocol;

tl::unexpected<Error> bad(std::string why) {
  return fail(ErrorCode::invalid_value, "a message of the SA channel: " + std::move(why));
}

// The fixed part of a message, when it has exactly that and what `tail` says behind it.
template <class T>
std::optional<T> fixed_part(std::span<const uint8_t> message, size_t tail = 0) {
  if (message.size() != sizeof(T) + tail) return std::nullopt;
  T out;
  std::memcpy(&out, message.data(), sizeof out);
  return out;
}

template <Space S>
std::optional<IpAddress<S>> address(const uint8_t (&bytes)[16], uint8_t family) {
  std::array<uint8_t, 16> all{};
  std::memcpy(all.data(), bytes, sizeof bytes);
  if (family == 6) return Ip6<S>(all);
  if (family != 4) return std::nullopt;
  const auto high = uint32_t{all[0]} << 24 | uint32_t{all[1]} << 16;
  return Ip4<S>(high | uint32_t{all[2]} << 8 | uint32_t{all[3]});
}

std::optional<SaEndpoint> endpoint(const protocol::Endpoint& in) {
  const auto where = address<Space::external>(in.address, in.family);
  if (!where) return std::nullopt;
  return SaEndpoint{*where, in.port};
}

std::optional<SaSelector> selector(const protocol::Selector& in) {
  const auto from = address<Space::customer>(in.from, in.family);
  const auto to = address<Space::customer>(in.to, in.family);
  // A range of ports from the last to the first means OPAQUE (RFC 4301 §4.4.1.1): not for tunnels.
  if (!from || !to || *to < *from || in.to_port < in.from_port) return std::nullopt;
  return SaSelector{*from, *to, in.protocol, in.from_port, in.to_port};
}

std::optional<SaName> name(const protocol::SaName& in) {
  const auto to = address<Space::external>(in.destination.address, in.destination.family);
  if (!to || in.inbound > 1) return std::nullopt;
  return SaName{in.inbound == 1 ? SaDirection::inbound : SaDirection::outbound, in.spi, *to};
}

struct CipherOf {
  uint16_t transform;
  SaCipher cipher;
  uint8_t salt;  // bytes
  bool own_integrity;
  std::array<uint8_t, 3> key_sizes;  // bytes
};
constexpr CipherOf kCiphers[] = {
    // RFC 7296 §3.3.2 and IANA's IKEv2 parameters, transform type 1.
    {3, SaCipher::triple_des_cbc, 0, false, {24, 24, 24}},
    {12, SaCipher::aes_cbc, 0, false, {16, 24, 32}},
    {20, SaCipher::aes_gcm, 4, true, {16, 24, 32}},
    {28, SaCipher::chacha20_poly1305, 4, true, {32, 32, 32}},
};
struct IntegrityOf {
  uint16_t transform;
  SaIntegrity integrity;
  uint8_t key_size;  // bytes
};
constexpr IntegrityOf kIntegrities[] = {
    {2, SaIntegrity::hmac_sha1_96, 20},
    {12, SaIntegrity::hmac_sha256_128, 32},
    {13, SaIntegrity::hmac_sha384_192, 48},
    {14, SaIntegrity::hmac_sha512_256, 64},
};

// strongSwan says "undefined" for the integrity of an AEAD cipher.
constexpr bool no_integrity(uint16_t transform) { return transform == 0 || transform == 1024; }

Result<void> set_algorithms(const protocol::AddSa& in, SaSpec& out) {
  const auto* cipher = std::find_if(std::begin(kCiphers), std::end(kCiphers),
                                    [&](const auto& c) { return c.transform == in.encryption; });
  if (cipher == std::end(kCiphers)) {
    return bad(fmt::format("encryption {} is not among those that are offered", in.encryption));
  }
  out.cipher = cipher->cipher;
  if (cipher->own_integrity != no_integrity(in.integrity)) {
    return bad(fmt::format("encryption {} with integrity {}", in.encryption, in.integrity));
  }
  if (cipher->own_integrity) return {};
  const auto* integrity = std::find_if(std::begin(kIntegrities), std::end(kIntegrities),
                                       [&](const auto& i) { return i.transform == in.integrity; });
  if (integrity == std::end(kIntegrities)) {
    return bad(fmt::format("integrity {} is not among those that are offered", in.integrity));
  }
  out.integrity = integrity->integrity;
  return {};
}

// After set_algorithms.
Result<void> set_keys(const protocol::AddSa& in, SaSpec& out) {
  const auto* cipher = std::find_if(std::begin(kCiphers), std::end(kCiphers),
                                    [&](const auto& c) { return c.cipher == out.cipher; });
  const int size = int{in.encryption_key_size} - cipher->salt;
  if (std::find(cipher->key_sizes.begin(), cipher->key_sizes.end(), size) ==
      cipher->key_sizes.end()) {
    return bad(
        fmt::format("a key of {} bytes for {}", in.encryption_key_size, to_string(out.cipher)));
  }
  size_t integrity = 0;
  for (const IntegrityOf& known : kIntegrities) {
    if (known.integrity == out.integrity) integrity = known.key_size;
  }
  if (in.integrity_key_size != integrity) {
    return bad(
        fmt::format("a key of {} bytes for {}", in.integrity_key_size, to_string(out.integrity)));
  }
  const auto bytes = static_cast<size_t>(size);
  SaKeys keys;
  keys.encryption = SecretBytes({in.encryption_key, bytes});
  keys.salt = SecretBytes({in.encryption_key + bytes, cipher->salt});
  keys.integrity = SecretBytes({in.integrity_key, integrity});
  out.keys = std::make_shared<const SaKeys>(std::move(keys));
  return {};
}

Result<void> set_selectors(std::span<const uint8_t> tail, const protocol::AddSa& in, SaSpec& out) {
  for (size_t i = 0; i < size_t{in.source_selectors} + in.destination_selectors; ++i) {
    protocol::Selector raw;
    std::memcpy(&raw, tail.data() + i * sizeof raw, sizeof raw);
    const auto one = selector(raw);
    if (!one) return bad(fmt::format("traffic selector {} is none", i));
    (i < in.source_selectors ? out.source_selectors : out.destination_selectors).push_back(*one);
  }
  return {};
}

// Copies of messages with keys are wiped, also when they are refused.
struct Wiped {
  Wiped() = default;
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  ~Wiped() { explicit_bzero(&message, sizeof message); }

  protocol::AddSa message;
};

Result<SaAdd> add_of(std::span<const uint8_t> bytes) {
  if (bytes.size() < sizeof(protocol::AddSa)) return bad("add_sa is too short");
  Wiped copy;
  std::memcpy(&copy.message, bytes.data(), sizeof copy.message);
  const protocol::AddSa& in = copy.message;
  const auto tail = bytes.subspan(sizeof in);
  if (in.source_selectors > protocol::kMaxSelectors ||
      in.destination_selectors > protocol::kMaxSelectors ||
      tail.size() !=
          (size_t{in.source_selectors} + in.destination_selectors) * sizeof(protocol::Selector)) {
    return bad("add_sa has not the selectors that it says");
  }
  const auto source = endpoint(in.source);
  const auto destination = endpoint(in.destination);
  if (!source || !destination || source->address.family() != destination->address.family()) {
    return bad("add_sa has no endpoints of one family");
  }
  if ((in.flags & ~protocol::kAllFlags) != 0) return bad("add_sa has unknown flags");
  const auto has = [&in](uint32_t flag) { return (in.flags & flag) != 0; };
  SaAdd out;
  out.origin = has(protocol::kReplayed) ? SaDatabase::Origin::replayed : SaDatabase::Origin::fresh;
  // Longer than a hundred years is no lifetime, and would not fit the clock.
  out.hard = std::chrono::seconds(std::min<uint64_t>(in.lifetimes.hard_seconds, 3'153'600'000));
  SaSpec& spec = out.spec;
  spec.direction = has(protocol::kInbound) ? SaDirection::inbound : SaDirection::outbound;
  spec.spi = in.spi;
  spec.if_id = in.if_id;
  spec.source = *source;
  spec.destination = *destination;
  if (has(protocol::kUdpEncapsulated)) spec.encapsulation = SaEncapsulation::udp;
  if (has(protocol::kExtendedSequence)) spec.sequence = SaSequence::extended;
  spec.replay_window = in.replay_window;
  spec.copy_df = has(protocol::kCopyDf);
  spec.copy_ecn = has(protocol::kCopyEcn);
  spec.copy_dscp = has(protocol::kCopyDscpOut);
  spec.volumes = {in.lifetimes.soft_bytes, in.lifetimes.hard_bytes, in.lifetimes.soft_packets,
                  in.lifetimes.hard_packets};
  if (auto done = set_algorithms(in, spec); !done) return tl::make_unexpected(done.error());
  const bool bare = has(protocol::kReplayed) && !has(protocol::kInbound);
  if (bare) {
    if (in.encryption_key_size != 0 || in.integrity_key_size != 0) {
      return bad("a replayed outbound SA comes with keys");
    }
  } else if (auto done = set_keys(in, spec); !done) {
    return tl::make_unexpected(done.error());
  }
  if (auto done = set_selectors(tail, in, spec); !done) return tl::make_unexpected(done.error());
  return out;
}

Result<SaUpdate> update_of(std::span<const uint8_t> bytes) {
  const auto in = fixed_part<protocol::UpdateSa>(bytes);
  if (!in) return bad("update_sa has the wrong size");
  const auto which = name(in->name);
  const auto source = endpoint(in->source);
  const auto destination = endpoint(in->destination);
  if (!which || !source || !destination || in->udp_encapsulated > 1 ||
      source->address.family() != destination->address.family()) {
    return bad("update_sa has no name or no endpoints");
  }
  return SaUpdate{*which, *source, *destination,
                  in->udp_encapsulated == 1 ? SaEncapsulation::udp : SaEncapsulation::none};
}

template <class T>
SaRequest request(uint32_t sequence, T what) {
  return {sequence, std::move(what)};
}

void put(SaMessage& out, const void* bytes, size_t size) {
  const auto* from = static_cast<const uint8_t*>(bytes);
  out.insert(out.end(), from, from + size);
}

template <class T>
SaMessage message(protocol::Type type, T fixed, size_t tail = 0) {
  fixed.header.type = static_cast<uint16_t>(type);
  fixed.header.size = static_cast<uint16_t>(sizeof fixed + tail);
  SaMessage out;
  out.reserve(sizeof fixed + tail);
  out.resize(sizeof fixed);
  std::memcpy(out.data(), &fixed, sizeof fixed);
  return out;
}

protocol::Endpoint wire_endpoint(const SaEndpoint& in) {
  protocol::Endpoint out;
  std::memcpy(out.address, in.address.bytes().data(), sizeof out.address);
  out.family = in.address.is_v4() ? 4 : 6;
  out.port = in.port;
  return out;
}

protocol::SaName wire_name(const SaName& in) {
  protocol::SaName out;
  out.spi = in.spi;
  out.inbound = in.direction == SaDirection::inbound ? 1 : 0;
  out.destination = wire_endpoint({in.destination, 0});
  return out;
}

}  // namespace

Result<SaRequest> decode_sa_request(std::span<const uint8_t> bytes) {
  if (bytes.size() < sizeof(protocol::Header)) return bad("no header");
  protocol::Header header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.size != bytes.size()) return bad("not of the size that it says");
  const uint32_t sequence = header.sequence;
  switch (static_cast<protocol::Type>(header.type)) {
    case protocol::Type::hello: {
      const auto in = fixed_part<protocol::Hello>(bytes);
      if (!in) return bad("hello has the wrong size");
      return request(sequence, SaHello{in->version, in->slice, in->pid, in->incarnation});
    }
    case protocol::Type::add_sa: {
      auto out = add_of(bytes);
      if (!out) return tl::make_unexpected(out.error());
      return request(sequence, std::move(*out));
    }
    case protocol::Type::update_sa: {
      auto out = update_of(bytes);
      if (!out) return tl::make_unexpected(out.error());
      return request(sequence, std::move(*out));
    }
    case protocol::Type::del_sa: {
      const auto in = fixed_part<protocol::DelSa>(bytes);
      const auto which = in ? name(in->name) : std::nullopt;
      if (!which) return bad("del_sa names no SA");
      return request(sequence, SaDelete{*which});
    }
    case protocol::Type::flush:
      if (!fixed_part<protocol::Bare>(bytes)) return bad("flush has the wrong size");
      return request(sequence, SaFlush{});
    case protocol::Type::sync:
      if (!fixed_part<protocol::Bare>(bytes)) return bad("sync has the wrong size");
      return request(sequence, SaSync{});
    default:
      return bad(fmt::format("unknown type {}", header.type));
  }
}

SaMessage encode(const SaWelcome& welcome) {
  protocol::Welcome out;
  out.counters_milliseconds = static_cast<uint16_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(welcome.counters_every).count());
  out.first_index = welcome.range.first;
  out.indexes = welcome.range.count;
  out.next_index = welcome.next_index;
  return message(protocol::Type::welcome, out);
}

SaMessage encode_ack(uint32_t sequence, protocol::Status status) {
  protocol::Ack out;
  out.header.sequence = sequence;
  out.status = static_cast<uint32_t>(status);
  return message(protocol::Type::ack, out);
}

SaMessage encode(std::span<const SaReport> reports) {
  assert(reports.size() <= protocol::kMaxCounters);
  protocol::Counters head;
  head.count = static_cast<uint32_t>(reports.size());
  SaMessage out =
      message(protocol::Type::counters, head, reports.size() * sizeof(protocol::SaCounters));
  for (const SaReport& report : reports) {
    protocol::SaCounters one;
    one.name = wire_name(report.name);
    one.bytes = report.use.bytes;
    one.packets = report.use.packets;
    one.last_use_seconds = report.use.last.nanoseconds / 1'000'000'000;
    put(out, &one, sizeof one);
  }
  return out;
}

SaMessage encode(const SaExpiry& expiry) {
  protocol::Expire out;
  out.name = wire_name(expiry.name);
  out.hard = expiry.kind == SaExpiry::Kind::hard ? 1 : 0;
  return message(protocol::Type::expire, out);
}

SaMessage encode_mapping(const SaName& inbound, const SaEndpoint& remote) {
  protocol::Mapping out;
  out.name = wire_name(inbound);
  out.remote = wire_endpoint(remote);
  return message(protocol::Type::mapping, out);
}

SaMessage encode_acquire(uint32_t reqid) {
  protocol::Acquire out;
  out.reqid = reqid;
  return message(protocol::Type::acquire, out);
}

}  // namespace hnv
