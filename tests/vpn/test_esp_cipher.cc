// SPDX-License-Identifier: Apache-2.0
//
// The transform against the vectors of the RFCs and of NIST, and its two engines against each
// other, bit for bit.
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "tests/support/random.h"
#include "vpn/esp_cipher.h"

namespace hnv {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes hex(std::string_view text) {
  Bytes out;
  std::string digits;
  for (const char c : text) {
    if (c != ' ') digits += c;
  }
  for (size_t i = 0; i < digits.size(); i += 2) {
    out.push_back(static_cast<uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  return out;
}

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct Algorithm {
  const char* name;
  SaCipher cipher;
  unsigned key_bytes;
  SaIntegrity integrity = SaIntegrity::none;
  unsigned integrity_bytes = 0;
};
constexpr Algorithm kAlgorithms[] = {
    {"AES-128-GCM", SaCipher::aes_gcm, 16},
    {"AES-192-GCM", SaCipher::aes_gcm, 24},
    {"AES-256-GCM", SaCipher::aes_gcm, 32},
    {"ChaCha20-Poly1305", SaCipher::chacha20_poly1305, 32},
    {"AES-128-CBC, SHA-1", SaCipher::aes_cbc, 16, SaIntegrity::hmac_sha1_96, 20},
    {"AES-128-CBC, SHA-256", SaCipher::aes_cbc, 16, SaIntegrity::hmac_sha256_128, 32},
    {"AES-192-CBC, SHA-384", SaCipher::aes_cbc, 24, SaIntegrity::hmac_sha384_192, 48},
    {"AES-256-CBC, SHA-256", SaCipher::aes_cbc, 32, SaIntegrity::hmac_sha256_128, 32},
    {"AES-256-CBC, SHA-512", SaCipher::aes_cbc, 32, SaIntegrity::hmac_sha512_256, 64},
    {"3DES-CBC, SHA-1", SaCipher::triple_des_cbc, 24, SaIntegrity::hmac_sha1_96, 20},
    {"3DES-CBC, SHA-256", SaCipher::triple_des_cbc, 24, SaIntegrity::hmac_sha256_128, 32},
};
constexpr EspEngine kEngines[] = {EspEngine::multi_buffer, EspEngine::portable};

SaSpec spec_of(const Algorithm& algorithm, const Bytes& key, const Bytes& salt, const Bytes& mac,
               SaDirection direction = SaDirection::outbound,
               SaSequence sequence = SaSequence::bits32) {
  SaSpec spec;
  spec.direction = direction;
  spec.cipher = algorithm.cipher;
  spec.integrity = algorithm.integrity;
  spec.sequence = sequence;
  spec.keys =
      std::make_shared<const SaKeys>(SaKeys{SecretBytes(key), SecretBytes(salt), SecretBytes(mac)});
  return spec;
}

// Seals `plain` behind `head` (SPI, sequence, IV); what comes out, with its ICV.
Bytes sealed(EspEngine engine, const SaSpec& spec, const Bytes& head, const Bytes& plain,
             uint32_t sequence_high = 0) {
  const auto keys = EspKeys::make(spec, engine);
  EXPECT_NE(keys, nullptr);
  EspTransform cipher(engine);
  Bytes packet = head + plain + Bytes(esp_format_of(spec.cipher, spec.integrity).icv_bytes, 0);
  const EspJob job{.keys = keys.get(),
                   .esp = packet.data(),
                   .bytes = static_cast<uint32_t>(plain.size()),
                   .sequence_high = sequence_high};
  cipher.seal(&job, 1);
  return packet;
}

struct Vector {
  const char* name = nullptr;
  Algorithm algorithm{};
  const char* key = nullptr;
  const char* salt = nullptr;
  SaSequence sequence{};
  uint32_t sequence_high = 0;
  const char* head = nullptr;  // SPI, sequence, IV
  const char* plain = nullptr;
  const char* cipher = nullptr;  // with the ICV where the vector has one
};
constexpr Vector kVectors[] = {
    {"AES-128-GCM of an RFC 4106 packet with an extended sequence number", kAlgorithms[0],
     "4c80cdefbb5d10da906ac73c3613a634", "2e443b68", SaSequence::extended, 0x87654321,
     "00004321 00000000 4956ed7e3b244cfe",
     "45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000"
     "00000000045f736970045f756470037369700963796265726369747902646b00"
     "0021000101020201",
     "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34"
     "cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce"
     "61bc17d768fd9732459018148f6cbe722fd04796562dfdb4"},
    {"ChaCha20-Poly1305, RFC 7634 appendix A", kAlgorithms[3],
     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "a0a1a2a3",
     SaSequence::bits32, 0, "01020304 00000005 1011121314151617",
     "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec10"
     "0007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223"
     "2425262728292a2b2c2d2e2f303132333435363701020204",
     "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c6"
     "14ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3"
     "cbec163fac469b502773f6fb94e664da9165b82829f641e0"
     "76aaa8266b7fb0f7b11b369907e1ad43"},
    {"AES-128-CBC, RFC 3602 case 1", kAlgorithms[5], "06a9214036b8a15b512e03d534120006", "",
     SaSequence::bits32, 0, "00000001 00000001 3dafba429d9eb430b422da802c9fac41",
     "53696e676c6520626c6f636b206d7367", "e353779c1079aeb82708942dbe77181a"},
    {"AES-128-CBC, RFC 3602 case 2", kAlgorithms[5], "c286696d887c9aa0611bbb3e2025a45a", "",
     SaSequence::bits32, 0, "00000001 00000001 562e17996d093d28ddb3ba695a2e6f58",
     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1"},
    {"AES-192-CBC, NIST SP 800-38A F.2.3", kAlgorithms[6],
     "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b", "", SaSequence::bits32, 0,
     "00000001 00000001 000102030405060708090a0b0c0d0e0f",
     "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
     "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a"},
    {"AES-256-CBC, NIST SP 800-38A F.2.5", kAlgorithms[8],
     "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", "", SaSequence::bits32, 0,
     "00000001 00000001 000102030405060708090a0b0c0d0e0f",
     "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
     "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"},
    {"3DES, NIST SP 800-67 (first block of its example)", kAlgorithms[9],
     "0123456789abcdef23456789abcdef01456789abcdef0123", "", SaSequence::bits32, 0,
     "00000001 00000001 0000000000000000", "5468652071756663", "a826fd8ce53b855f"},
};

TEST(EspCipher, GivesWhatTheStandardsGive) {
  for (const Vector& vector : kVectors) {
    SCOPED_TRACE(vector.name);
    const SaSpec spec = spec_of(vector.algorithm, hex(vector.key), hex(vector.salt),
                                Bytes(vector.algorithm.integrity_bytes, 0x0b),
                                SaDirection::outbound, vector.sequence);
    const Bytes head = hex(vector.head);
    for (const EspEngine engine : kEngines) {
      const Bytes packet = sealed(engine, spec, head, hex(vector.plain), vector.sequence_high);
      const Bytes wanted = hex(vector.cipher);
      const auto begin = packet.begin() + static_cast<ptrdiff_t>(head.size());
      EXPECT_EQ(Bytes(begin, begin + static_cast<ptrdiff_t>(wanted.size())), wanted);
    }
  }
}

// HMAC over ESP header, IV, ciphertext and the upper half, by OpenSSL in one call (RFC 4303
// §2.2.1).
TEST(EspCipher, AuthenticatesTheUpperHalfOfAnExtendedNumber) {
  constexpr uint32_t kHigh = 0x01020304;
  for (const Algorithm& algorithm : kAlgorithms) {
    if (algorithm.integrity == SaIntegrity::none) continue;
    SCOPED_TRACE(algorithm.name);
    const Bytes mac(algorithm.integrity_bytes, 0x0b);
    const SaSpec spec = spec_of(algorithm, Bytes(algorithm.key_bytes, 0x5a), {}, mac,
                                SaDirection::outbound, SaSequence::extended);
    const EspFormat format = esp_format_of(spec.cipher, spec.integrity);
    const Bytes packet = sealed(EspEngine::multi_buffer, spec, Bytes(8U + format.iv_bytes, 0x33),
                                Bytes(48, 0x77), kHigh);
    Bytes hashed(packet.begin(), packet.end() - format.icv_bytes);
    hashed = hashed + Bytes{1, 2, 3, 4};
    const EVP_MD* digest = algorithm.integrity == SaIntegrity::hmac_sha1_96      ? EVP_sha1()
                           : algorithm.integrity == SaIntegrity::hmac_sha256_128 ? EVP_sha256()
                           : algorithm.integrity == SaIntegrity::hmac_sha384_192 ? EVP_sha384()
                                                                                 : EVP_sha512();
    Bytes wanted(64);
    HMAC(digest, mac.data(), static_cast<int>(mac.size()), hashed.data(), hashed.size(),
         wanted.data(), nullptr);
    wanted.resize(format.icv_bytes);
    EXPECT_EQ(Bytes(packet.end() - format.icv_bytes, packet.end()), wanted);
  }
}

// A vector of packets of all algorithms, lengths and numbers, under keys of their own.
class Mixed {
 public:
  Mixed(EspEngine engine, SaDirection direction, uint64_t seed) {
    Random random(seed);
    for (unsigned i = 0; i < EspTransform::kMost; ++i) {
      const Algorithm& algorithm = kAlgorithms[random.below(std::size(kAlgorithms))];
      const bool combined = algorithm.integrity == SaIntegrity::none;
      const SaSpec spec =
          spec_of(algorithm, bytes(random, algorithm.key_bytes), bytes(random, combined ? 4 : 0),
                  bytes(random, algorithm.integrity_bytes), direction,
                  random.below(2) == 0 ? SaSequence::bits32 : SaSequence::extended);
      const EspFormat format = esp_format_of(spec.cipher, spec.integrity);
      const unsigned length = (1 + static_cast<unsigned>(random.below(90))) * 16;
      keys_.push_back(EspKeys::make(spec, engine));
      plain_.push_back(bytes(random, 8U + format.iv_bytes + length));
      packets.push_back(plain_.back() + Bytes(format.icv_bytes, 0));
      jobs.push_back({.keys = keys_.back().get(),
                      .bytes = length,
                      .sequence_high = static_cast<uint32_t>(random.below(5))});
    }
    for (unsigned i = 0; i < jobs.size(); ++i) jobs[i].esp = packets[i].data();
  }
  [[nodiscard]] bool is_plain(unsigned i) const {
    return std::equal(plain_[i].begin(), plain_[i].end(), packets[i].begin());
  }

  std::vector<EspJob> jobs;
  std::vector<Bytes> packets;

 private:
  static Bytes bytes(Random& random, unsigned count) {
    Bytes out(count);
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random.below(256));
    return out;
  }
  std::vector<std::shared_ptr<EspKeys>> keys_;
  std::vector<Bytes> plain_;
};

TEST(EspCipher, BothEnginesGiveTheSameBits) {
  EspTransform fast(EspEngine::multi_buffer);
  EspTransform portable(EspEngine::portable);
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Mixed a(EspEngine::multi_buffer, SaDirection::outbound, seed);
    Mixed b(EspEngine::portable, SaDirection::outbound, seed);
    fast.seal(a.jobs.data(), EspTransform::kMost);
    portable.seal(b.jobs.data(), EspTransform::kMost);
    EXPECT_EQ(a.packets, b.packets) << "seed " << seed;
  }
}

TEST(EspCipher, EachEngineOpensWhatTheOtherSealed) {
  for (const EspEngine engine : kEngines) {
    const EspEngine other =
        engine == EspEngine::portable ? EspEngine::multi_buffer : EspEngine::portable;
    EspTransform sealing(engine);
    EspTransform opening(other);
    Mixed sent(engine, SaDirection::outbound, 77);
    Mixed received(other, SaDirection::inbound, 77);
    sealing.seal(sent.jobs.data(), EspTransform::kMost);
    for (unsigned i = 0; i < EspTransform::kMost; ++i) {
      EXPECT_FALSE(sent.is_plain(i));
      std::copy(sent.packets[i].begin(), sent.packets[i].end(), received.packets[i].begin());
    }
    bool good[EspTransform::kMost] = {};
    opening.open(received.jobs.data(), EspTransform::kMost, good);
    for (unsigned i = 0; i < EspTransform::kMost; ++i) {
      EXPECT_TRUE(good[i]) << i;
      EXPECT_TRUE(received.is_plain(i)) << i;
    }
  }
}

// Every bit that is authenticated counts: one wrong one in turn in header, IV, payload and ICV, and
// the upper half that is not on the wire.
TEST(EspCipher, RefusesWhatWasChanged) {
  for (const EspEngine engine : kEngines) {
    for (unsigned part = 0; part < 5; ++part) {
      EspTransform cipher(engine);
      Mixed sent(engine, SaDirection::outbound, 5);
      Mixed received(engine, SaDirection::inbound, 5);
      cipher.seal(sent.jobs.data(), EspTransform::kMost);
      for (unsigned i = 0; i < EspTransform::kMost; ++i) {
        Bytes changed = sent.packets[i];
        const size_t places[] = {1, 6, 9, changed.size() / 2, changed.size() - 3};
        changed[places[part]] = static_cast<uint8_t>(changed[places[part]] ^ 0x10);
        std::copy(changed.begin(), changed.end(), received.packets[i].begin());
      }
      bool good[EspTransform::kMost];
      std::fill(std::begin(good), std::end(good), true);
      cipher.open(received.jobs.data(), EspTransform::kMost, good);
      for (unsigned i = 0; i < EspTransform::kMost; ++i) EXPECT_FALSE(good[i]) << part << ", " << i;
    }
  }
}

TEST(EspCipher, TakesNoKeysThatDoNotFit) {
  SaSpec spec = spec_of(kAlgorithms[2], Bytes(32, 1), Bytes(4, 2), {});
  EXPECT_NE(EspKeys::make(spec), nullptr);
  EXPECT_EQ(EspKeys::make(spec_of(kAlgorithms[2], Bytes(31, 1), Bytes(4, 2), {})), nullptr);
  EXPECT_EQ(EspKeys::make(spec_of(kAlgorithms[2], Bytes(32, 1), {}, {})), nullptr);
  EXPECT_EQ(EspKeys::make(spec_of(kAlgorithms[2], Bytes(32, 1), Bytes(4, 2), Bytes(20, 1))),
            nullptr);
  EXPECT_EQ(EspKeys::make(spec_of(kAlgorithms[4], Bytes(16, 1), {}, Bytes(32, 1))), nullptr);
  spec.integrity = SaIntegrity::hmac_sha256_128;
  EXPECT_EQ(EspKeys::make(spec), nullptr) << "a combined cipher needs no other integrity";
}

TEST(EspCipher, DrawsAnotherIvEachTime) {
  EspTransform cipher;
  std::set<Bytes> seen;
  for (unsigned i = 0; i < 2'000; ++i) {
    Bytes iv(16);
    cipher.random_iv(iv.data(), 16);
    EXPECT_TRUE(seen.insert(iv).second);
  }
}

}  // namespace
}  // namespace hnv
