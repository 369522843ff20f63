// SPDX-License-Identifier: Apache-2.0
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "vpn/vici_codec.h"

namespace hnv {
namespace {

std::vector<uint8_t> bytes_of(std::string_view hex) {
  std::vector<uint8_t> out;
  std::string digits;
  for (const char c : hex) {
    if (std::isxdigit(static_cast<unsigned char>(c)) != 0) digits += c;
  }
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    out.push_back(static_cast<uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  return out;
}

std::vector<uint8_t> encoded(const ViciPacket& packet) {
  const auto bytes = encode(packet);
  if (!bytes) return {};
  return {bytes->bytes().begin(), bytes->bytes().end()};
}

// As strongSwan 5.9.8 takes and sends it.
TEST(ViciCodec, WritesWhatCharonReads) {
  EXPECT_EQ(encoded({ViciType::command_request, "version", {}}),
            bytes_of("00000009 00 07 76657273696f6e"));
  ViciSection message;
  message.add("a", "1").add("s", ViciSection().add("l", std::vector<std::string>{"x", "yz"}));
  EXPECT_EQ(encoded({ViciType::command_response, "", message}),
            bytes_of("00000018 01 030161000131 010173 04016c 05000178 050002797a 06 02"));
}

TEST(ViciCodec, ReadsBackWhatItWrites) {
  ViciSection message;
  message.add("empty", "")
      .add("none", std::vector<std::string>{})
      .add("outer", ViciSection().add("inner", ViciSection().add("deep", "value")));
  for (const auto type : {ViciType::command_request, ViciType::command_response, ViciType::event}) {
    const bool named = type != ViciType::command_response;
    const auto bytes = encoded({type, named ? "list-sa" : "", message});
    const auto packet = decode_vici(std::span(bytes).subspan(4));
    ASSERT_TRUE(packet) << packet.error().message;
    EXPECT_EQ(packet->type, type);
    EXPECT_EQ(packet->name, named ? "list-sa" : "");
    EXPECT_EQ(packet->message, message) << to_string(packet->message);
  }
}

TEST(ViciCodec, FindsItemsByNameAndKind) {
  ViciSection message;
  message.add("a", "1").add("l", std::vector<std::string>{"x"}).add("s", ViciSection());
  EXPECT_EQ(*message.value("a"), "1");
  EXPECT_EQ(message.list("a"), nullptr);
  EXPECT_EQ(message.list("l")->size(), 1U);
  EXPECT_NE(message.section("s"), nullptr);
  EXPECT_EQ(message.value("b"), nullptr);
}

TEST(ViciCodec, SecretsAreSentAndNeverPrinted) {
  ViciSection message;
  message.add("data", SharedSecret(SecretBytes::of("swordfish")));
  EXPECT_EQ(encoded({ViciType::command_response, "", message}),
            bytes_of("00000012 01 030464617461 0009 73776f726466697368"));
  EXPECT_EQ(to_string(message), "{data=***}");
}

TEST(ViciCodec, RefusesWhatDoesNotFit) {
  const std::string long_name(256, 'n');
  const std::string long_value(65536, 'v');
  EXPECT_FALSE(encode({ViciType::command_request, "", {}}));
  EXPECT_FALSE(encode({ViciType::command_request, long_name, {}}));
  const auto value = encode({ViciType::event, "e", ViciSection().add("cert", long_value)});
  ASSERT_FALSE(value);
  EXPECT_NE(value.error().message.find("cert"), std::string::npos);
  EXPECT_FALSE(encode({ViciType::event, "e", ViciSection().add(long_name, "v")}));
  ViciSection large;
  for (int i = 0; i < 9; ++i) large.add("k", std::string(65000, 'v'));
  EXPECT_FALSE(encode({ViciType::event, "e", large}));
}

TEST(ViciCodec, RefusesWhatIsCutOrMalformed) {
  const struct {
    const char* what;
    const char* hex;
  } cases[] = {
      {"nothing", ""},
      {"an unknown type", "08"},
      {"a named packet without a name", "00"},
      {"a name longer than the packet", "00 05 61"},
      {"a key without a value", "01 030161"},
      {"a value longer than the packet", "01 030161 0005 31"},
      {"a value whose length is cut", "01 030161 00"},
      {"a section without an end", "01 010173"},
      {"an end without a section", "01 02"},
      {"a list without an end", "01 04016c 05000178"},
      {"a list item outside of a list", "01 05000178"},
      {"a key inside a list", "01 04016c 030161000131 06"},
      {"an unknown element", "01 07"},
  };
  for (const auto& c : cases) EXPECT_FALSE(decode_vici(bytes_of(c.hex))) << c.what;
  std::string deep = "01";
  for (int i = 0; i < 17; ++i) deep += "010173";
  for (int i = 0; i < 17; ++i) deep += "02";
  EXPECT_FALSE(decode_vici(bytes_of(deep)));
}

TEST(ViciCodec, AStreamIsCutIntoPacketsWhateverItsPieces) {
  auto bytes = encoded({ViciType::event, "log", ViciSection().add("msg", "one")});
  const auto second =
      encoded({ViciType::command_response, "", ViciSection().add("success", "yes")});
  bytes.insert(bytes.end(), second.begin(), second.end());
  for (const size_t piece : {size_t{1}, size_t{3}, bytes.size()}) {
    ViciStream stream;
    std::vector<ViciPacket> packets;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      stream.feed(std::span(bytes).subspan(at, std::min(piece, bytes.size() - at)));
      while (auto packet = stream.next()) {
        ASSERT_TRUE(*packet);
        packets.push_back(std::move(**packet));
      }
    }
    ASSERT_EQ(packets.size(), 2U);
    EXPECT_EQ(packets[0].name, "log");
    EXPECT_EQ(*packets[1].message.value("success"), "yes");
  }
}

TEST(ViciCodec, AStreamRefusesAbsurdLengths) {
  for (const char* hex : {"00000000", "00080001", "ffffffff"}) {
    ViciStream stream;
    stream.feed(bytes_of(hex));
    const auto packet = stream.next();
    ASSERT_TRUE(packet.has_value()) << hex;
    EXPECT_FALSE(*packet) << hex;
  }
}

}  // namespace
}  // namespace hnv
