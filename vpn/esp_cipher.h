// SPDX-License-Identifier: Apache-2.0
//
// The ESP transform (RFC 4303 §3): encryption and integrity of packets that lie ready, whole
// vectors at a time.
//
//   SPI | sequence | IV | payload, padding, pad length, next header | ICV
//   └────────── authenticated ───────────────────────────────────┘
//                       └────────────── encrypted ──────────────┘
//
// Two engines do the same, bit for bit: Intel's multi-buffer library, called directly, and OpenSSL
// for processors without AES, carry-less multiplication and AVX2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "vpn/sa_spec.h"

namespace hnv {

enum class EspEngine : uint8_t { multi_buffer, portable };
// What this processor can do best.
[[nodiscard]] EspEngine best_esp_engine();

// The parts of a packet whose size the algorithms say.
struct EspFormat {
  uint8_t iv_bytes = 8;
  uint8_t icv_bytes = 16;
  uint8_t alignment = 4;  // of the encrypted part, a power of two
};
[[nodiscard]] EspFormat esp_format_of(SaCipher cipher, SaIntegrity integrity);

// The keys of one SA, as its engine wants them. Made on the control thread, used by the worker that
// owns the SA: a fallback's contexts change with every packet. Wiped when it goes.
class alignas(64) EspKeys {
 public:
  // Null when a key's length does not fit its algorithm. REQUIRES spec.keys.
  [[nodiscard]] static std::shared_ptr<EspKeys> make(const SaSpec& spec,
                                                     EspEngine engine = best_esp_engine());
  EspKeys(const EspKeys&) = delete;
  EspKeys& operator=(const EspKeys&) = delete;
  EspKeys(EspKeys&&) = delete;
  EspKeys& operator=(EspKeys&&) = delete;
  ~EspKeys();

  // What a packet of `bytes` touches, to be fetched before it is used.
  void prefetch(uint32_t bytes) const {
    __builtin_prefetch(this);
    const uint32_t used = cipher_ == SaCipher::aes_gcm && bytes < kSmall ? kSmallLines : kLines;
    const uint8_t* at = schedule_.data();
    for (uint32_t line = 0; line < kFirstLines; ++line) __builtin_prefetch(at + line * kLine);
    // The powers of the hash key that short packets need stand at the end.
    for (uint32_t line = kLines - used; line < kLines; ++line) {
      __builtin_prefetch(at + line * kLine);
    }
  }

 private:
  friend class EspTransform;
  friend struct EspMultiBuffer;
  friend struct EspPortable;
  EspKeys() = default;

  static constexpr size_t kLine = 64;
  static constexpr uint32_t kLines = 16;
  static constexpr uint32_t kFirstLines = 4;
  static constexpr uint32_t kSmallLines = 4;
  static constexpr uint32_t kSmall = 160;

  EspEngine engine_ = EspEngine::portable;
  SaCipher cipher_ = SaCipher::aes_gcm;
  SaIntegrity integrity_ = SaIntegrity::none;
  SaSequence sequence_ = SaSequence::bits32;
  uint8_t key_bytes_ = 0;
  EspFormat format_;
  std::array<uint8_t, 4> salt_{};
  void* cipher_context_ = nullptr;  // portable
  void* mac_context_ = nullptr;
  alignas(64) std::array<uint8_t, kLine * kLines> schedule_{};  // multi-buffer
};

struct EspJob {
  EspKeys* keys = nullptr;
  uint8_t* esp = nullptr;      // the ESP header; SPI, sequence and IV stand there
  uint32_t bytes = 0;          // of the encrypted part, a multiple of the alignment
  uint32_t sequence_high = 0;  // upper half of an extended sequence number
};

// One thread's.
class EspTransform {
 public:
  static constexpr unsigned kMost = 64;  // jobs at once

  explicit EspTransform(EspEngine engine = best_esp_engine());
  ~EspTransform();
  EspTransform(const EspTransform&) = delete;
  EspTransform& operator=(const EspTransform&) = delete;
  EspTransform(EspTransform&&) = delete;
  EspTransform& operator=(EspTransform&&) = delete;

  // Encrypts in place and writes each ICV behind. REQUIRES keys of this engine, room for the ICV,
  // count <= kMost.
  void seal(const EspJob* jobs, unsigned count);
  // Checks each ICV and decrypts; good[i]: it was right. Otherwise the packet is garbage.
  void open(const EspJob* jobs, unsigned count, bool* good);

  // A block that nobody can foresee: the IV of CBC (RFC 3602 §3).
  void random_iv(uint8_t* iv, unsigned bytes);

 private:
  struct Scratch;
  EspEngine engine_;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace hnv
