// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <variant>

#include <gtest/gtest.h>

#include "tests/vpn/sa_requests.h"
#include "vpn/sa_messages.h"

namespace hnv {
namespace {

using namespace sa_protocol;  // NOLINT(google-build-using-namespace): every line would have it

template <class T>
T fixed(const SaMessage& message) {
  T out;
  EXPECT_GE(message.size(), sizeof out);
  std::memcpy(&out, message.data(), sizeof out);
  EXPECT_EQ(out.header.size, message.size());
  return out;
}

TEST(SaMessages, AnSaIsReadWithItsKeysApart) {
  auto add = add_message(make_spi(7, 3), 12, kInbound | kUdpEncapsulated | kCopyEcn);
  add.lifetimes = {3600, 1000, 2000, 10, 20};
  const auto request = decode_sa_request(add_request(42, add));
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->sequence, 42U);
  const auto& read = std::get<SaAdd>(request->what);
  EXPECT_EQ(read.origin, SaDatabase::Origin::fresh);
  EXPECT_EQ(read.hard, std::chrono::hours(1));
  const SaSpec& spec = read.spec;
  EXPECT_EQ(spec.direction, SaDirection::inbound);
  EXPECT_EQ(spec.spi, make_spi(7, 3));
  EXPECT_EQ(spec.if_id, 12U);
  EXPECT_EQ(spec.source.address.to_string(), "203.0.113.9");
  EXPECT_EQ(spec.destination.port, 500);
  EXPECT_EQ(spec.encapsulation, SaEncapsulation::udp);
  EXPECT_EQ(spec.cipher, SaCipher::aes_gcm);
  EXPECT_EQ(spec.integrity, SaIntegrity::none);
  ASSERT_EQ(spec.keys->encryption.size(), 32U);
  EXPECT_EQ(spec.keys->encryption.reveal()[31], 32);
  ASSERT_EQ(spec.keys->salt.size(), 4U);
  EXPECT_EQ(spec.keys->salt.reveal()[0], 33);
  EXPECT_TRUE(spec.keys->integrity.empty());
  EXPECT_EQ(spec.volumes.hard_packets, 20U);
  ASSERT_EQ(spec.source_selectors.size(), 1U);
  EXPECT_EQ(spec.destination_selectors[0].to.to_string(), "255.255.255.255");
  EXPECT_FALSE(spec.copy_df);
  EXPECT_TRUE(spec.copy_ecn);
}

TEST(SaMessages, EveryOfferedAlgorithmIsKnown) {
  const struct {
    uint16_t encryption, integrity;
    uint8_t encryption_key, integrity_key;
    SaCipher cipher;
    SaIntegrity mac;
    size_t key, salt;
  } cases[] = {
      {20, 1024, 20, 0, SaCipher::aes_gcm, SaIntegrity::none, 16, 4},
      {20, 0, 28, 0, SaCipher::aes_gcm, SaIntegrity::none, 24, 4},
      {28, 1024, 36, 0, SaCipher::chacha20_poly1305, SaIntegrity::none, 32, 4},
      {12, 2, 32, 20, SaCipher::aes_cbc, SaIntegrity::hmac_sha1_96, 32, 0},
      {12, 12, 16, 32, SaCipher::aes_cbc, SaIntegrity::hmac_sha256_128, 16, 0},
      {12, 13, 24, 48, SaCipher::aes_cbc, SaIntegrity::hmac_sha384_192, 24, 0},
      {12, 14, 32, 64, SaCipher::aes_cbc, SaIntegrity::hmac_sha512_256, 32, 0},
      {3, 2, 24, 20, SaCipher::triple_des_cbc, SaIntegrity::hmac_sha1_96, 24, 0},
  };
  for (const auto& c : cases) {
    auto add = add_message(1001, 12, 0);
    add.encryption = c.encryption;
    add.integrity = c.integrity;
    add.encryption_key_size = c.encryption_key;
    add.integrity_key_size = c.integrity_key;
    const auto request = decode_sa_request(add_request(1, add));
    ASSERT_TRUE(request) << c.encryption << ": " << request.error().message;
    const SaSpec& spec = std::get<SaAdd>(request->what).spec;
    EXPECT_EQ(spec.cipher, c.cipher);
    EXPECT_EQ(spec.integrity, c.mac);
    EXPECT_EQ(spec.keys->encryption.size(), c.key);
    EXPECT_EQ(spec.keys->salt.size(), c.salt);
    EXPECT_EQ(spec.keys->integrity.size(), c.integrity_key);
  }
}

TEST(SaMessages, WhatDoesNotFitIsRefused) {
  const struct {
    const char* what;
    std::function<void(AddSa&)> spoil;
  } cases[] = {
      {"an unknown cipher", [](AddSa& a) { a.encryption = 11; }},
      {"GCM with a short ICV", [](AddSa& a) { a.encryption = 18; }},
      {"an AEAD cipher with integrity", [](AddSa& a) { a.integrity = 12; }},
      {"CBC without integrity", [](AddSa& a) { a.encryption = 12; }},
      {"a key without salt", [](AddSa& a) { a.encryption_key_size = 32; }},
      {"a key shorter than the salt", [](AddSa& a) { a.encryption_key_size = 3; }},
      {"no key", [](AddSa& a) { a.encryption_key_size = 0; }},
      {"a key longer than the message", [](AddSa& a) { a.encryption_key_size = 255; }},
      {"an integrity key that nothing uses", [](AddSa& a) { a.integrity_key_size = 20; }},
      {"no family", [](AddSa& a) { a.source.family = 0; }},
      {"two families", [](AddSa& a) { a.source.family = 6; }},
      {"unknown flags", [](AddSa& a) { a.flags |= 1U << 30; }},
      {"keys of a replayed outbound SA", [](AddSa& a) { a.flags = kReplayed; }},
  };
  for (const auto& c : cases) {
    auto add = add_message(make_spi(7, 3), 12, kInbound);
    c.spoil(add);
    EXPECT_FALSE(decode_sa_request(add_request(1, add))) << c.what;
  }
}

TEST(SaMessages, SelectorsMustBeThereAndBeRanges) {
  const auto add = add_message(make_spi(7, 3), 12, kInbound);
  Selector backwards = everything();
  std::swap(backwards.from, backwards.to);
  Selector opaque = everything();
  opaque.from_port = 65535;
  opaque.to_port = 0;
  Selector nobody = everything();
  nobody.family = 5;
  for (const Selector& second : {backwards, opaque, nobody}) {
    const Selector both[] = {everything(), second};
    EXPECT_FALSE(decode_sa_request(raw(Type::add_sa, 1, add, both)));
  }
  const Selector one[] = {everything()};
  EXPECT_FALSE(decode_sa_request(raw(Type::add_sa, 1, add, one)));
  auto many = add;
  many.source_selectors = kMaxSelectors + 1;
  EXPECT_FALSE(decode_sa_request(add_request(1, many)));
}

TEST(SaMessages, AReplayedOutboundSaHasNoKeys) {
  auto add = add_message(1001, 12, kReplayed);
  add.encryption_key_size = 0;
  const auto request = decode_sa_request(add_request(1, add));
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(std::get<SaAdd>(request->what).origin, SaDatabase::Origin::replayed);
  EXPECT_EQ(std::get<SaAdd>(request->what).spec.keys, nullptr);
}

TEST(SaMessages, EveryLengthButTheRightOneIsRefused) {
  UpdateSa update{};
  update.name = wire_name(1001, 0);
  update.source = wire_endpoint(1);
  update.destination = wire_endpoint(77, 4500);
  DelSa deleted{};
  deleted.name = wire_name(1001, 0);
  const Message messages[] = {
      hello_request(),
      add_request(1, add_message(make_spi(7, 3), 12, kInbound)),
      raw(Type::update_sa, 2, update),
      raw(Type::del_sa, 3, deleted),
      raw(Type::flush, 4, Bare{}),
      raw(Type::sync, 5, Bare{}),
  };
  for (const Message& message : messages) {
    EXPECT_TRUE(decode_sa_request(message));
    for (size_t size = 0; size < message.size(); ++size) {
      Message cut(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_FALSE(decode_sa_request(cut));
      if (cut.size() < sizeof(Header)) continue;
      const auto said = static_cast<uint16_t>(size);
      std::memcpy(cut.data() + 2, &said, sizeof said);
      EXPECT_FALSE(decode_sa_request(cut)) << size;
    }
    Message longer = message;
    longer.push_back(0);
    EXPECT_FALSE(decode_sa_request(longer));
  }
  EXPECT_FALSE(decode_sa_request(raw(static_cast<Type>(99), 1, Bare{})));
}

TEST(SaMessages, NamesAndUpdatesAreRead) {
  UpdateSa update{};
  update.name = wire_name(1001, 0);
  update.source = wire_endpoint(1, 4500);
  update.destination = wire_endpoint(77, 40287);
  update.udp_encapsulated = 1;
  const auto request = decode_sa_request(raw(Type::update_sa, 2, update));
  ASSERT_TRUE(request);
  const auto& read = std::get<SaUpdate>(request->what);
  EXPECT_EQ(read.name.direction, SaDirection::outbound);
  EXPECT_EQ(read.name.destination.to_string(), "203.0.113.9");
  EXPECT_EQ(read.destination.port, 40287);
  EXPECT_EQ(read.encapsulation, SaEncapsulation::udp);
}

TEST(SaMessages, WhatTheGatewaySaysIsAsTheHeaderSays) {
  const auto welcome =
      fixed<Welcome>(encode(SaWelcome{std::chrono::milliseconds(500), {1000, 100}, 1042}));
  EXPECT_EQ(welcome.counters_milliseconds, 500);
  EXPECT_EQ(welcome.first_index, 1000U);
  EXPECT_EQ(welcome.indexes, 100U);
  EXPECT_EQ(welcome.next_index, 1042U);
  const auto ack = fixed<Ack>(encode_ack(7, Status::closed));
  EXPECT_EQ(ack.header.sequence, 7U);
  EXPECT_EQ(ack.status, static_cast<uint32_t>(Status::closed));
  const hnv::SaName inbound{SaDirection::inbound, make_spi(7, 3), Ip4<Space::external>(0xcb007101)};
  const auto expire = fixed<Expire>(encode(SaExpiry{inbound, SaExpiry::Kind::hard}));
  EXPECT_EQ(expire.name.spi, make_spi(7, 3));
  EXPECT_EQ(expire.name.inbound, 1U);
  EXPECT_EQ(expire.hard, 1U);
  const auto moved =
      fixed<Mapping>(encode_mapping(inbound, {Ip4<Space::external>(0xcb00714d), 40287}));
  EXPECT_EQ(moved.remote.address[3], 77);
  EXPECT_EQ(moved.remote.port, 40287);
  EXPECT_EQ(fixed<Acquire>(encode_acquire(5)).reqid, 5U);
  const SaReport reports[] = {{inbound, {84, 1, Instant{7'500'000'000}}},
                              {inbound, {168, 2, Instant{8'000'000'000}}}};
  const SaMessage counters = encode(std::span<const SaReport>(reports));
  EXPECT_EQ(fixed<Counters>(counters).count, 2U);
  SaCounters first{};
  std::memcpy(&first, counters.data() + sizeof(Counters), sizeof first);
  EXPECT_EQ(first.bytes, 84U);
  EXPECT_EQ(first.last_use_seconds, 7U);
}

}  // namespace
}  // namespace hnv
